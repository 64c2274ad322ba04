"""``pccompiler show``: a circuit's counts, text, sectors or plan."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from pccompiler.commands.support import printer
from pccompiler.errors import OptionError
from pccompiler.imports.read import read_circuit
from pccompiler.ir import Circuit


class Part(StrEnum):
    """What 'show' prints."""

    STATS = "stats"
    IR = "ir"
    SECTORS = "sectors"
    PLAN = "plan"


def show(
    path: Annotated[
        Path, typer.Argument(help="A circuit as text (.pcir), or a folder that 'train' wrote.")
    ],
    part: Annotated[Part, typer.Option(help="What to print.")] = Part.STATS,
) -> None:
    """Show a circuit: its counts, its text, its sectors, or the plan that runs it."""
    circuit = read_circuit(path)
    if part == Part.IR:
        from pccompiler.ir import to_text

        print(to_text(circuit), end="")
    elif part == Part.SECTORS:
        printer().print(_sectors(circuit))
    elif part == Part.PLAN:
        from pccompiler.passes import plan, verify

        verify(circuit)
        print(plan(circuit).summary(), end="")
    else:
        printer().print(_statistics(circuit))


def _statistics(circuit: Circuit) -> Table:
    """Counts of a circuit."""
    counts = circuit.statistics
    table = Table("", "", show_header=False)
    rows: list[tuple[str, object]] = [
        ("variables", counts.variables),
        ("nodes", counts.nodes),
        *((f"  {kind}", number) for kind, number in counts.kinds.items() if number),
        ("units", counts.units),
        ("edges", counts.edges),
        ("depth", counts.depth),
        ("weights", counts.weights),
        ("  entries", counts.weight_entries),
        ("sectors", 0 if circuit.sectors is None else len(circuit.sectors)),
    ]
    for name, number in rows:
        table.add_row(name, f"{number:,}")
    table.add_row("generator", "none" if circuit.generator is None else str(circuit.generator))
    table.add_row("fingerprint", circuit.fingerprint)
    return table


def _sectors(circuit: Circuit) -> Table:
    """The sectors by shape."""
    if circuit.sectors is None:
        raise OptionError.of(
            "PC311",
            "the circuit has no sectors",
            help="train it with a hypernetwork, or add the line 'sectors by=block' to its text",
        )
    shapes = np.stack([circuit.sectors.rows, circuit.sectors.columns], axis=1)
    distinct, number = np.unique(shapes, axis=0, return_counts=True)
    table = Table("shape", "sectors", "weights", title=f"by {circuit.sectors.by}")
    for (rows, columns), many in zip(distinct.tolist(), number.tolist(), strict=True):
        table.add_row(f"{rows} x {columns}", f"{many:,}", f"{many * rows * columns:,}")
    return table
