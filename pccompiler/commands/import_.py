"""``pccompiler import``: circuits written by other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import DataDir, Separator, query_rows


def import_(
    file: Annotated[
        Path, typer.Argument(help="A .psdd, .spn, .sdd, .nnf, .bif or .pcir file; .gz is unpacked.")
    ],
    out: Annotated[Path, typer.Option(help="The .pcir file to write.")],
    vtree: Annotated[
        Path | None,
        typer.Option(help="For a .psdd or .sdd; by default the .vtree of its name next to it."),
    ] = None,
    check_data: Annotated[
        str | None,
        typer.Option(help="Rows to evaluate: a .csv or .parquet, or a data set's test rows."),
    ] = None,
    data_dir: DataDir = None,
    separator: Separator = None,
) -> None:
    """Read a circuit written by another program, and write it as .pcir text.

    With --check-data, print its mean log-likelihood, to compare with the other program.
    """
    from pccompiler.imports import read
    from pccompiler.ir import write_circuit
    from pccompiler.passes import verify

    circuit = read(file, vtree=vtree)
    verify(circuit)
    if check_data is not None:
        import pccompiler as pc

        names = [variable.name for variable in circuit.variables]
        rows = query_rows(check_data, data_dir, names, separator=separator)
        values = pc.compile(circuit, dtype="float64").log_likelihood(rows)
        print(f"mean {values.mean().item():.6f} nats over {len(rows):,} rows")
    write_circuit(circuit, out)
    print(f"{out}: {circuit}")
