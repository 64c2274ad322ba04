"""``pccompiler opt``: run passes on a circuit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import CircuitFile
from pccompiler.imports.read import read_circuit
from pccompiler.passes.registry import PASSES


def pass_names(incomplete: str) -> list[str]:
    """Pipelines that continue this one with the name of a pass, for completion in a shell."""
    before, comma, start = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in PASSES if name.startswith(start)]


def opt(
    file: CircuitFile,
    passes: Annotated[
        str,
        typer.Option(
            help="In order: smooth,prune,merge,share,'condition{evidence=rain:1}'.",
            autocompletion=pass_names,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the result here instead of printing it.")
    ] = None,
    print_between: Annotated[
        bool,
        typer.Option(
            "--print-between", help="Print the circuit after each pass to standard error."
        ),
    ] = False,
    time: Annotated[
        bool,
        typer.Option("--time", help="Print time, nodes and proof of each pass to standard error."),
    ] = False,
    verify_semantics: Annotated[
        bool,
        typer.Option(
            "--verify-semantics",
            help="Prove on small circuits that each pass keeps (or correctly changes) all answers.",
        ),
    ] = False,
) -> None:
    """Run passes on a circuit; the result is checked after each.

    'pccompiler passes' lists them.
    """
    from pccompiler.ir import Circuit, to_text, write_circuit
    from pccompiler.passes import PassManager

    def dump(name: str, circuit: Circuit) -> None:
        print(f"# after {name}\n{to_text(circuit)}", file=sys.stderr)

    manager = PassManager.parse(
        passes, verify_semantics=verify_semantics, dump=dump if print_between else None
    )
    result = manager(read_circuit(file))
    if time or verify_semantics:
        print(manager.timing_table(), end="", file=sys.stderr)
    if out is None:
        print(to_text(result), end="")
    else:
        write_circuit(result, out)
        print(f"{out}: {result}")


def passes() -> None:
    """List the passes with their options, and what each does."""
    from dataclasses import fields

    from rich.console import Console
    from rich.table import Table

    table = Table("pass", "options", "what it does", box=None, pad_edge=False)
    for name, kind in PASSES.usable().items():
        options = ", ".join(f"{f.name}={f.default}" for f in fields(kind))
        table.add_row(name, options, (kind.__doc__ or "").split("\n", 1)[0])
    Console(soft_wrap=False, highlight=False).print(table)
