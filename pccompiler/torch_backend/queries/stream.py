"""Log-likelihoods of a stream of rows that need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.options import whole
from pccompiler.torch_backend.data.blocks import Source, blocks
from pccompiler.torch_backend.evaluator import Evaluator


def log_likelihood_stream(
    model: Evaluator,
    source: Source,
    *,
    batch_size: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[NDArray[np.float64]]:
    """Log-likelihood of each row of a source of any length, in nats, batch by batch, in order.

    Only one batch is in memory at a time. NaN values are integrated out.

    Args:
        model: The model, which does not change.
        source: A tensor or array (also ``np.load(..., mmap_mode="r")``), a data frame, a ``.npy``
            file, a ``.csv`` file (empty cells, ``nan`` and ``?`` are missing), or an iterator of
            blocks of rows, each in a form that `log_likelihood` accepts.
        batch_size: Rows per batch; ``None`` for `evaluation_batch`, at most 8,192.
        progress: Called after each batch with the number of rows done.

    Yields:
        Shape ``(rows of the batch,)``; ``-inf`` where the density is zero.

    Raises:
        OptionError: If the batch size is below 1.
        DataError: If the source cannot be read or is invalid, or rows do not fit the circuit; a
            note says where in the source the batch began.
    """
    usual = min(model.evaluation_batch, 8192)
    size = usual if batch_size is None else whole("batch_size", batch_size)
    return _values(model, blocks(source, size, model.names, model.codes), progress)


def _values(
    model: Evaluator, found: Iterator[Tensor], progress: Callable[[int], None] | None
) -> Iterator[NDArray[np.float64]]:
    done = 0
    for block in found:
        try:
            with torch.no_grad():
                value = model.log_likelihood(block).double().cpu().numpy()
        except DataError as error:
            note = f"row 0 of this batch is row {done} of the source"
            raise DataError(
                replace(d, notes=(*d.notes, note)) for d in error.diagnostics
            ) from error
        done += len(value)
        if progress is not None:
            progress(done)
        yield value
