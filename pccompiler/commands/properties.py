"""``pccompiler properties``: the properties of a circuit, and its tractable queries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import CircuitFile
from pccompiler.imports.read import read_circuit


def properties(
    file: CircuitFile,
    with_: Annotated[
        Path | None, typer.Option("--with", help="A second circuit: can the two be multiplied?")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    vtree: Annotated[
        bool, typer.Option("--vtree", help="Print the vtree, if there is one.")
    ] = False,
) -> None:
    """Report which properties a circuit has, which queries are tractable on it, and why."""
    from json import dumps

    from pccompiler.passes.analysis.properties import properties as report_of
    from pccompiler.passes.analysis.vtrees.find import structure

    circuit = read_circuit(file)
    other = None if with_ is None else read_circuit(with_)
    report = report_of(circuit, other)
    print(dumps(report.to_dict(), indent=2) if json else str(report), end="\n" if json else "")
    if vtree:
        found = structure(circuit).vtree
        names = tuple(v.name for v in circuit.variables)
        print("no vtree" if found is None else found.describe(names), end="")
