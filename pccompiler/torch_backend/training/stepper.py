"""Training steps on the device: eagerly, or by replaying one CUDA graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.runtime.capture import captured
from pccompiler.torch_backend.training.adam import make_adam
from pccompiler.torch_backend.training.history import trained_parameters
from pccompiler.torch_backend.training.mapped_rows import MappedRows
from pccompiler.torch_backend.training.unchecked import Unchecked


class Stepper:
    """Takes training steps: eagerly, or by replaying one CUDA graph.

    Rows of a mapped file are copied to the device batch by batch; ``data`` is then one batch.
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
            self.data = data.take(torch.arange(batch, device="cpu"))
        else:
            self.complete = not bool(data.isnan().any())
            self.data = data
        self.all_shares = shares
        # The derivative of the loss by each row's log-likelihood: minus its weight.
        self.slope = torch.full((batch,), -1.0, dtype=model.dtype, device=model.device)
        trained = {f"model.weights.values.{n}": p for n, p in trained_parameters(model).items()}
        # Aliases of the parameters: if a graph of the caller is still alive, it would tie the
        # parameters themselves to its stream, and break the capture.
        self.leaves = {n: p.detach().requires_grad_() for n, p in trained.items()}
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
        """Take one step on the rows in ``self.rows``."""
        rows = self.data.index_select(0, self.rows)
        value = torch.func.functional_call(self.road, self.leaves, (rows, self.complete))
        with self._beside():
            found = value.detach()
            self.totals += found if self.all_shares is None else -self.slope * found
        self.optimizer.step(torch.autograd.grad(value, list(self.leaves.values()), self.slope))
        if self.aside is not None:
            torch.cuda.current_stream().wait_stream(self.aside)

    def _beside(self) -> contextlib.AbstractContextManager[object]:
        """In a CUDA graph, a parallel branch for work that the rest of the step need not await."""
        if self.aside is None:
            return contextlib.nullcontext()
        self.aside.wait_stream(torch.cuda.current_stream())
        return torch.cuda.stream(self.aside)

    def capture(self) -> None:
        """Capture one step. Warm-up steps change parameters and moments, which are restored."""
        with self.rehearsed():
            self.graph, _ = captured(self.step)

    @contextlib.contextmanager
    def rehearsed(self) -> Generator[None]:
        """Restore parameters and moments afterwards."""
        before = [p.detach().clone() for p in self.model.parameters()]
        yield
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), before, strict=True):
                parameter.copy_(value)
            self.optimizer.reset()

    def run(self, batches: Tensor, done: int, look: Callable[[int], None]) -> float:
        """Take a step for each row of ``batches``; the mean loss per data row, in nats.

        The first ``done`` batches were taken before, and their losses are in `totals`. ``look`` is
        called after each step, with the number of batches that are done.
        """
        if done == 0:
            self.totals.zero_()
        moved = batches if self.mapped is not None else batches.to(self.rows.device)
        pairs = list(zip(batches, moved, strict=True))  # make all views at once
        try:
            for number, (rows, there) in enumerate(pairs[done:], done + 1):
                self._fetch(rows, there)
                if self.graph is None:
                    self.step()
                else:
                    self.graph.replay()
                look(number)
        finally:
            self.tell_torch()
        total = float(self.totals.sum())
        if self.all_shares is not None:
            return -total / float(self.all_shares[batches].sum())
        return -total / (len(batches) * self.batch)

    def tell_torch(self) -> None:
        """Note that parameters have changed, which graphs and kernels do not."""
        for parameter in self.leaves.values():
            torch.autograd.graph.increment_version(parameter)

    def state(self) -> dict[str, Tensor]:
        """The optimizer's moments, and the losses of the finished batches."""
        return {**self.optimizer.state(), "totals": self.totals}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore a `state` in place, so that a captured graph continues with it."""
        self.totals.copy_(tensors["totals"])
        self.optimizer.restore(tensors)

    def _fetch(self, rows: Tensor, there: Tensor) -> None:
        """Make these rows (``there``: on the device) and their weights those of the next step."""
        if self.mapped is None:
            self.rows.copy_(there)
        else:
            self.data.copy_(self.mapped.take(rows))
        if self.all_shares is not None:
            self.slope.copy_(-self.all_shares[rows])
