"""Results of ``pccompiler bench``, by the fields that every case has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.page.contest import Contest
from benchmarks.page.results import Line, Result, Results, unique
from benchmarks.page.section import Section
from benchmarks.page.words import number

BENCH = "pccompiler bench --out benchmarks/results/bench_cpu.jsonl"
DEVICES = {"cpu": "cpu", "cuda": "gpu"}
"""The header's field with the chip, for each device."""


class Case(NamedTuple):
    """A case that ran: the file that holds it, and its line."""

    result: Result
    line: Line

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return str(self.result.headers[-1]["device"])

    @property
    def key(self) -> tuple[object, ...]:
        """The machine, the case and its batch."""
        chip = self.result.headers[-1][DEVICES[self.device]]
        return chip, self.line["case"], self.line.get("batch")

    @property
    def peers(self) -> dict[str, float]:
        """The time of each peer that ran the case, in ms."""
        return peer_times(self.line)


def peer_times(line: Line) -> dict[str, float]:
    """The time of each peer that ran the case of a line, in ms."""
    return {name: told["ms"] for name, told in line.get("peers", {}).items() if "ms" in told}


def cases(results: Results) -> list[Case]:
    """All cases, file by file from the latest; failed ones and superseded ones are left out.

    A case is superseded if it was measured later on the same machine, beside the same peers.
    """
    found: list[Case] = []
    files = results.named("bench_", BENCH)
    for result in sorted(files, key=lambda one: (one.date, one.name), reverse=True):
        later = list(found)
        for line in result.having("case", "ms"):
            case = Case(result, line)
            if not any(
                one.key == case.key and case.peers.keys() <= one.peers.keys() for one in later
            ):
                found.append(case)
    return found


def beside_peers(section: Section, results: Results, device: str) -> None:
    """A table, a chart and a verdict for the cases of a device that a peer ran as well, if any."""
    ran = [case for case in cases(results) if case.device == device and case.peers]
    if not ran:
        return
    section.part("Cases of `pccompiler bench` that peers ran")
    section.measured(
        "The same circuit in each program, in ms. [Peers](howto/bench.md#peers) says what differs.",
        *unique(case.result for case in ran),
        where=DEVICES[device],
    )
    names = unique(name for case in ran for name in case.peers)
    heads = [head for name in names for head in (name, f"{name} / ours")]
    section.table(("case", "batch", "ours", *heads), [_row(case, names) for case in ran])
    contests = [
        Contest(case.line["case"], case.line["ms"], name, ms)
        for case in ran
        for name, ms in case.peers.items()
    ]
    section.contest_chart(f"peers_{device}", "time of a case, in each program", contests)
    section.beside(contests)


def _row(case: Case, names: Sequence[str]) -> tuple[str, ...]:
    ours, peers = case.line["ms"], case.peers
    cells = [
        cell
        for name in names
        for cell in (
            (number(peers[name]), number(peers[name] / ours)) if name in peers else ("", "")
        )
    ]
    return (case.line["case"], number(case.line.get("batch")), number(ours), *cells)
