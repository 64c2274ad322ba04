"""Every case of ``pccompiler bench``, with its floor and its peers."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial

from benchmarks.page.bench import DEVICES, Case, cases, peer_times
from benchmarks.page.results import Line, Result, Results, unique
from benchmarks.page.section import Column, Section
from benchmarks.page.words import error, listed, number

COLUMNS: dict[str, Column] = {
    "case": "case",
    "batch": "batch",
    "ms": "ms",
    "floor": "floor_ms",
    "ms / floor": "over_floor",
    "set by": "floor_unit",
    "datasheet floor": "datasheet_floor_ms",
    "peak MiB": "peak_mib",
}
"""The columns of every case; each peer adds one."""


def every_case(results: Results) -> Section:
    """All cases, one table for each file and group."""
    section = Section("Every case and its floor")
    section.say(
        "A floor is the time that the definition's arithmetic and memory traffic take at the rates "
        "of the machine ([how to](howto/bench.md) says how both are counted), in ms as all times "
        "here. A case that was measured again later on the same machine, beside the same peers, "
        "stands under the later file only."
    )
    found = sorted(cases(results), key=lambda case: case.device)
    for result in unique(case.result for case in found):
        mine = [case for case in found if case.result is result]
        _file(section, result, mine, {case.key for case in found})
    return section


def _file(
    section: Section, result: Result, found: Sequence[Case], ran: Container[tuple[object, ...]]
) -> None:
    header = result.headers[-1]
    where = DEVICES[header["device"]]
    section.part(f"{header[where]}, {header['date']}, {result.name}")
    worst = max((case.line.get("log_likelihood_error") or 0.0 for case in found), default=0.0)
    section.measured(
        f"Log-likelihoods differ from float64 by at most {error(worst)}, relative.",
        result,
        where=where,
    )
    for group in unique(_group(case.line) for case in found):
        mine = [case.line for case in found if _group(case.line) == group]
        peers = {name: partial(_peer, name=name) for line in mine for name in peer_times(line)}
        section.say(f"Group `{group}`:")
        section.fields(mine, {**COLUMNS, **peers})
    failed = {Case(result, line).key: line["case"] for line in result.lines if "error" in line}
    alone = [name for key, name in failed.items() if key not in ran]
    if alone:
        section.say(f"Failed, and not measured later: {listed(alone)}.")


def _group(line: Line) -> str:
    """The group that the line names, or the first word of the case's name."""
    return str(line.get("group") or line["case"].split("-", 1)[0])


def _peer(line: Line, name: str) -> str:
    """The peer's time, also as a multiple of ours."""
    ms = peer_times(line).get(name)
    return f"{number(ms)} ({number(ms / line['ms'])}x)" if ms else ""
