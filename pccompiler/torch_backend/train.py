"""Training by gradient: Adam, early stopping on validation, the best parameters kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.options import as_float, seed_of, shown, whole
from pccompiler.torch_backend.adam import make_adam
from pccompiler.torch_backend.evaluator import Unchecked
from pccompiler.torch_backend.module import CompiledCircuit
from pccompiler.torch_backend.records import (
    Evaluation,
    History,
    check_loss,
    learn,
    mean_log_likelihood,
    training_rows,
)
from pccompiler.torch_backend.rows import MappedRows, stays_mapped
from pccompiler.torch_backend.rows_weights import row_weights

__all__ = ["Evaluation", "History", "fit", "mean_log_likelihood"]


def fit(
    model: CompiledCircuit,
    train: Tensor | ArrayLike,
    valid: Tensor | ArrayLike | None = None,
    *,
    weights: Tensor | ArrayLike | None = None,
    steps: int = 4000,
    batch_size: int = 500,
    learning_rate: float = 5e-3,
    weight_decay: float = 0.0,
    evaluate_every: int = 200,
    patience: int | None = None,
    seed: int = 0,
    progress: bool = True,
    cuda_graph: bool = True,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> History:
    """Maximize the log-likelihood of ``train``; leave the best parameters in ``model``.

    The loss is the sum over the batch of the negative log-likelihood. Each batch is drawn without
    replacement, independently of the others (HyperSPN paper, section 5, and its authors' code). The
    parameters with the best validation value are kept; without ``valid``, the last ones.

    Args:
        model: Trained in place, on the device where it is.
        train: Shape ``(rows, variables)``, NaN where missing (such values are integrated
            out). Copied to the device once; but of an array mapped from a file (``np.load(...,
            mmap_mode="r")``) of 256 MiB or more, only the batches.
        valid: Copied to the device.
        weights: Of the rows of ``train``, shape ``(rows,)``, 0 or more: the log-likelihood of a row
            counts so often. Rows of weight 0 are never drawn. ``None``: 1 each.
        steps: Most steps to take.
        batch_size: Rows of a batch; at most all of ``train``.
        learning_rate: Adam's.
        weight_decay: L2 penalty inside Adam, as the paper's WD baseline.
        evaluate_every: Steps between evaluations on ``valid``.
        patience: Stop after this many evaluations without improvement; ``None``: never.
        seed: Of the batches.
        progress: Whether to show a progress bar on a terminal.
        cuda_graph: Whether to capture the whole step, optimizer included, where CUDA is there.
        on_evaluation: Called with each `Evaluation`.

    Raises:
        DataError: If the data do not fit the circuit, or the loss is not finite.
        OptionError: If an option cannot be used.
    """
    steps, batch_size = whole("steps", steps), whole("batch_size", batch_size)
    evaluate_every = whole("evaluate_every", evaluate_every)
    patience = None if patience is None else whole("patience", patience)
    rng = np.random.default_rng(seed_of(seed))
    learning_rate, weight_decay = _rates(model, learning_rate, weight_decay)
    data = _rows(model, train)
    shares = row_weights(weights, len(data))
    drawn = None if shares is None else shares.nonzero().flatten().numpy()
    held_out = None if valid is None else training_rows(model, valid, "valid")
    number = len(data) if drawn is None else len(drawn)
    batch = min(batch_size, number)
    stepper = _Stepper(model, data, shares, batch, learning_rate, weight_decay, cuda_graph)

    def work(step: int) -> tuple[int, float]:
        chunk = min(evaluate_every, steps - step)
        rows = _draw(rng, number, batch, chunk)
        loss = stepper.run(rows if drawn is None else torch.from_numpy(drawn[rows.numpy()]))
        check_loss(loss, model, data, step + chunk, shares)
        return chunk, -loss

    return learn(
        model,
        work,
        held_out,
        steps=steps,
        patience=patience,
        progress=progress,
        on_evaluation=on_evaluation,
    )


def _rows(model: CompiledCircuit, train: Tensor | ArrayLike) -> Tensor | MappedRows:
    """On the device, or in their file."""
    if stays_mapped(train):
        return MappedRows(model, np.asanyarray(train))
    return training_rows(model, train, "train")


class _Stepper:
    """Takes training steps: eagerly, or by replaying one CUDA graph.

    Rows of a mapped file come to the device batch by batch: ``data`` then is one batch.
    """

    def __init__(
        self,
        model: CompiledCircuit,
        data: Tensor | MappedRows,
        shares: Tensor | None,
        batch: int,
        learning_rate: float,
        weight_decay: float,
        cuda_graph: bool,
    ) -> None:
        on_cuda = model.device.type == "cuda"
        self.model, self.batch = model, batch
        self.road = Unchecked(model)
        self.mapped = data if isinstance(data, MappedRows) else None
        if isinstance(data, MappedRows):
            self.complete = data.complete
            self.data = data.take(torch.arange(batch))
        else:
            self.complete = not bool(data.isnan().any())
            self.data = data
        self.all_shares = shares
        # Of the loss by each row's log-likelihood: less its weight.
        self.slope = torch.full((batch,), -1.0, dtype=model.dtype, device=model.device)
        trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        # Aliases of the parameters: a graph of the caller's that still lives would tie the
        # parameters themselves to its stream, and break the capture.
        self.leaves = {f"model.{n}": p.detach().requires_grad_() for n, p in trained}
        self.optimizer = make_adam(list(self.leaves.values()), learning_rate, weight_decay)
        self.totals = torch.zeros(batch, dtype=torch.float64, device=model.device)
        self.rows = torch.zeros(batch, dtype=torch.int64, device=model.device)
        if self.mapped is not None:
            torch.arange(batch, out=self.rows)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.aside = torch.cuda.Stream(model.device) if on_cuda and cuda_graph else None
        if on_cuda and cuda_graph:
            self.capture()

    @torch.enable_grad()
    def step(self) -> None:
        """One step on the rows in ``self.rows``."""
        rows = self.data.index_select(0, self.rows)
        value = torch.func.functional_call(self.road, self.leaves, (rows, self.complete))
        with self._beside():
            found = value.detach()
            self.totals += found if self.all_shares is None else -self.slope * found
        self.optimizer.step(torch.autograd.grad(value, list(self.leaves.values()), self.slope))
        if self.aside is not None:
            torch.cuda.current_stream().wait_stream(self.aside)

    def _beside(self) -> contextlib.AbstractContextManager[object]:
        """In a CUDA graph, a branch of its own: work that nothing else of the step waits for."""
        if self.aside is None:
            return contextlib.nullcontext()
        self.aside.wait_stream(torch.cuda.current_stream())
        return torch.cuda.stream(self.aside)

    def capture(self) -> None:
        """Record one step. Warm-up steps change parameters and moments: both are put back."""
        before = [p.detach().clone() for p in self.model.parameters()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.step()
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), before, strict=True):
                parameter.copy_(value)
            self.optimizer.reset()

    def run(self, batches: Tensor) -> float:
        """Take a step for each row of ``batches``; the mean loss a data row, in nats."""
        self.totals.zero_()
        moved = batches if self.mapped is not None else batches.to(self.rows.device)
        for rows, there in zip(batches, moved, strict=True):
            self._fetch(rows, there)
            if self.graph is None:
                self.step()
            else:
                self.graph.replay()
        for parameter in self.leaves.values():  # neither graphs nor kernels tell torch
            torch.autograd.graph.increment_version(parameter)
        total = float(self.totals.sum())
        if self.all_shares is not None:
            return -total / float(self.all_shares[batches].sum())
        return -total / (len(batches) * self.batch)

    def _fetch(self, rows: Tensor, there: Tensor) -> None:
        """Make these rows, ``there`` on the device, the next step's, and their weights."""
        if self.mapped is None:
            self.rows.copy_(there)
        else:
            self.data.copy_(self.mapped.take(rows))
        if self.all_shares is not None:
            self.slope.copy_(-self.all_shares[rows])


def _draw(rng: np.random.Generator, number: int, batch: int, steps: int) -> Tensor:
    """Row numbers, shape (steps, batch): no row twice in a batch."""
    draws = [rng.choice(number, batch, replace=False, shuffle=False) for _ in range(steps)]
    return torch.from_numpy(np.stack(draws))


def _rates(
    model: CompiledCircuit, learning_rate: object, weight_decay: object
) -> tuple[float, float]:
    """Both, checked."""
    rate, decay = as_float(learning_rate), as_float(weight_decay)
    if rate is None or decay is None or not (0.0 < rate < np.inf and 0.0 <= decay < np.inf):
        raise OptionError.of(
            "PC302",
            f"learning_rate is {shown(learning_rate)} and weight_decay {shown(weight_decay)}",
            help="give a positive learning rate, and a weight decay of 0 or more",
        )
    if decay and any(bool(p.isinf().any()) for p in model.parameters()):
        raise OptionError.of(
            "PC306",
            "weight decay cannot pull on weights that are exactly zero",
            help="train without weight decay, or give no zero weights",
        )
    return rate, decay
