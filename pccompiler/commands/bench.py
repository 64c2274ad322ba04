"""``pccompiler bench``: measured times next to the least time possible on the machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pccompiler.commands.support import usable_device
from pccompiler.errors import OptionError

if TYPE_CHECKING:
    from pccompiler.bench.measure import Record

INTERRUPTED = 130
"""Exit code of a program ended by Ctrl-C: 128 plus the signal's number."""


class Device(StrEnum):
    """Where to measure."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def bench(
    cases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CASE]...",
            help="Names, groups, patterns ('step-*') or circuit files; by default the device's.",
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to measure.")] = Device.AUTO,
    batch: Annotated[
        int | None, typer.Option(help="Rows at once, except in cases of single rows.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Runs of each case; by default, for two seconds.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", help="Write the results here, as JSON lines.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PYTHON, NAME=CHECKOUT or NAME=COMMAND; may be repeated."),
    ] = None,
    peer_timeout: Annotated[
        float, typer.Option(min=1.0, help="Seconds for each peer, circuit and batch.")
    ] = 900.0,
    list_: Annotated[bool, typer.Option("--list", help="List the cases and exit.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few cases and repeats, in seconds.")
    ] = False,
) -> None:
    """Measure speed: time, floor, errors and memory of each case, compared with peers."""
    from rich.console import Console

    from pccompiler.bench import cases as known
    from pccompiler.bench.peering import parse

    peers = [parse(text) for text in peer or ()]
    where = usable_device(device.value)
    chosen = known.select(cases or (), where, quick=quick, batch=batch)
    if list_:
        width = max(len(case.name) for case in chosen)
        for case in chosen:
            print(f"{case.name:<{width}} batch {case.batch}")
        return
    if file is not None and file.is_dir():
        raise OptionError.of(
            "PC787", f"--out {file} is a folder", help="name a file, such as bench.jsonl"
        )
    import torch

    from pccompiler.bench.ceilings import datasheet, measured
    from pccompiler.bench.measure import Bench
    from pccompiler.bench.peering import REPEATS, Contest
    from pccompiler.bench.report import header, table, write
    from pccompiler.bench.running import run_cases

    rates = measured(torch.device(where))
    sheet = datasheet(torch.cuda.get_device_name()) if where == "cuda" else None
    often = 5 if quick and repeats is None else repeats
    measuring = Bench(where, rates, often, errors=not quick)
    threads = torch.get_num_threads()
    contest = Contest(peers, where, threads, often or REPEATS, peer_timeout, cases=chosen)
    first = header(" ".join(["pccompiler", *sys.argv[1:]]), where, rates, sheet)

    def keep(records: Sequence[Record]) -> None:
        if file is not None:
            write(file, [first, *records])

    outcome = run_cases(chosen, measuring, contest, keep)
    made = table(outcome.records)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(made)
    for failure in outcome.failures:
        print(failure, file=sys.stderr)
    if outcome.interrupted:
        print(_interrupted(len(outcome.records), len(chosen), file), file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if outcome.failures:
        raise typer.Exit(1)


def _interrupted(done: int, cases: int, file: Path | None) -> str:
    """A summary of a run that was interrupted."""
    where = f", in {file}" if file is not None and done else ""
    return f"interrupted: {done} of {cases} cases measured{where}"
