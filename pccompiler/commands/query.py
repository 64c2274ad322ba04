"""``pccompiler query``: log-likelihoods of rows, with torch or ONNX Runtime."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from pccompiler.commands.support import DataDir, Separator, query_rows, write_lines
from pccompiler.tables.labels import Codes


def query(
    model: Annotated[
        Path,
        typer.Argument(
            help="A folder that 'train' wrote (torch), or an .onnx file (ONNX Runtime)."
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            help="Rows: a .csv (empty cells are missing), a .parquet, - for standard input, or a "
            "data set's test rows."
        ),
    ],
    file: Annotated[
        Path | None, typer.Option("--out", help="Write one log-likelihood per line here.")
    ] = None,
    data_dir: DataDir = None,
    separator: Separator = None,
) -> None:
    """Log-likelihood of each row, in nats; missing values are integrated out."""

    def rows(names: Sequence[str], codes: Codes) -> NDArray[np.float64]:
        return query_rows(data, data_dir, names, codes, separator=separator)

    if model.suffix == ".onnx":
        from pccompiler.onnx_backend import OnnxModel

        loaded = OnnxModel(model)
        values = loaded.log_likelihood(rows(loaded.names, loaded.codes))
    else:
        values = _torch_values(model, rows)
    if file is None:
        print("\n".join(f"{value:.6f}" for value in values))
    else:
        write_lines(file, [f"{value!r}" for value in values.tolist()])
    print(f"mean {values.mean():.4f} nats over {len(values):,} rows", file=sys.stderr)


def _torch_values(
    folder: Path, rows: Callable[[Sequence[str], Codes], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Log-likelihoods from the torch backend, in batches."""
    import torch

    import pccompiler as pc

    model = pc.load(folder)
    with torch.no_grad():
        found = model.log_likelihood(rows(model.names, model.codes))
        values: NDArray[np.float64] = found.double().numpy()
    return values
