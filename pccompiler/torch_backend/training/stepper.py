"""Training steps on the device: plainly, or by replaying one CUDA graph."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.log import say_once
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.runtime.capture import captured
from pccompiler.torch_backend.training.batches.sources import Source
from pccompiler.torch_backend.training.course import Facts
from pccompiler.torch_backend.training.history import trained_parameters
from pccompiler.torch_backend.training.losses import Gain, Loss
from pccompiler.torch_backend.training.optimizers.base import MakeOptimizer
from pccompiler.torch_backend.training.optimizers.chosen import Chosen
from pccompiler.torch_backend.training.unchecked import Unchecked


class Stepper:
    """Takes training steps: plainly, or by replaying one CUDA graph.

    Args:
        model: Changed in place.
        data: Rows on the device, of which a step gathers its batch; or a source or a first batch of
            rows that come batch by batch, for which ``data`` is then one batch.
        shares: Weights of the rows, on the CPU.
        batch: Rows of a batch; others are trained on too, but never by the graph.
        make: Makes the optimizer.
        cuda_graph: Whether to capture a step if CUDA is available and nothing prevents it.
        loss: ``None`` for minus the log-likelihood.
        mean: Whether gradients are those of the mean over the rows, instead of their sum.
        gathers: Whether steps gather their rows from ``data``.

    Attributes:
        not_captured: Why steps are not captured; ``None`` if they are, or will be.
    """

    def __init__(
        self,
        model: CompiledCircuit,
        data: Tensor | Source,
        shares: Tensor | None,
        batch: int,
        make: MakeOptimizer,
        *,
        cuda_graph: bool,
        loss: Loss | None = None,
        mean: bool = False,
        gathers: bool = True,
    ) -> None:
        self.model, self.batch, self.mean_loss = model, batch, mean
        self.road = Unchecked(model) if loss is None else Gain(model, loss)
        self.source = None if isinstance(data, Tensor) else data
        if isinstance(data, Tensor):
            self.complete = gathers and not bool(data.isnan().any())
            self.data = data
        else:
            self.complete = data.complete
            self.data = data.take(torch.arange(batch, device="cpu"))
        self.gathers = gathers and self.source is None
        self.all_shares = shares
        self.share = 1.0 if shares is None else float(shares[shares > 0.0].mean())
        self.totals = torch.zeros(batch, dtype=torch.float64, device=model.device)
        self.mass = 0.0  # the weight of the rows that were trained on since `begin`
        self.rows = torch.zeros(batch, dtype=torch.int64, device=model.device)
        if not self.gathers:
            torch.arange(batch, out=self.rows)
        self.shares = None if shares is None else self.data.new_ones(batch)
        # The derivative of the objective by each row's gain.
        self.slope = self.data.new_full((batch,), -self._scale(batch))
        trained = {f"model.weights.values.{n}": p for n, p in trained_parameters(model).items()}
        # Aliases of the parameters: if a graph of the caller is still alive, it would tie the
        # parameters themselves to its stream, and break the capture.
        self.leaves: dict[str, Tensor] = {
            n: p.detach().requires_grad_() for n, p in trained.items()
        }
        self.optimizer = make(list(self.leaves.values()))
        self.graph: torch.cuda.CUDAGraph | None = None
        self.not_captured = self._obstacle(cuda_graph, loss)
        captures = self.not_captured is None
        if loss is not None and not captures:  # it may have the parameters from elsewhere, too
            self.leaves = dict(trained)
        self.aside = torch.cuda.Stream(model.device) if captures else None
        if captures and not isinstance(self.optimizer, Chosen):
            self.capture()

    def _obstacle(self, cuda_graph: bool, loss: Loss | None) -> str | None:
        """Why a step cannot be captured."""
        if self.model.device.type != "cuda":
            return f"the model is on {self.model.device.type}"
        if not cuda_graph:
            return "cuda_graph is False"
        if loss is not None and not hasattr(loss, "of_checked"):
            return "the loss may wait for the device: it has no method of_checked"
        return self.optimizer.not_captured if isinstance(self.optimizer, Chosen) else None

    def step(self) -> None:
        """Take one step on the rows in ``self.rows``."""
        self._update(self.data.index_select(0, self.rows), self.shares)

    def take(self, batch: Tensor, shares: Tensor | None = None) -> None:
        """Take one step on a batch.

        Args:
            batch: Numbers of rows of ``data``; or if steps do not gather them, the rows.
            shares: Their weights.
        """
        self.mass += len(batch) if shares is None else float(shares.sum())
        if len(batch) != self.batch:
            rows = self.data.index_select(0, batch) if self.gathers else batch
            self._update(rows, None if shares is None else shares.to(rows))
            return
        (self.rows if self.gathers else self.data).copy_(batch)
        if self.shares is not None and shares is not None:
            self.shares.copy_(shares)
        if self.graph is not None:
            self.graph.replay()
            return
        self.step()
        if self.not_captured is None:  # the first step of an optimizer makes its moments
            self.capture()

    @torch.enable_grad()
    def _update(self, rows: Tensor, shares: Tensor | None) -> None:
        gain = torch.func.functional_call(self.road, self.leaves, (rows, self.complete))
        if gain.ndim == 0:
            if shares is not None:
                raise OptionError.of(
                    "PC835",
                    "the loss is one number, so weights of rows cannot be applied to it",
                    help="return one value for each row, or train without weights=",
                )
            gain = gain.expand(len(rows))
        slope = self.slope
        if shares is not None:
            slope = -self._scale(len(rows)) * shares
        elif len(rows) != self.batch:
            slope = gain.detach().new_full((len(rows),), -self._scale(len(rows)))
        with self._beside():
            self._add(gain.detach() if shares is None else shares * gain.detach())
        parameters = list(self.leaves.values())
        self.optimizer.step(
            torch.autograd.grad(gain, parameters, slope, allow_unused=True, materialize_grads=True)
        )
        if self.aside is not None:
            torch.cuda.current_stream().wait_stream(self.aside)

    def _scale(self, rows: int) -> float:
        return 1.0 / (rows * self.share) if self.mean_loss else 1.0

    def _add(self, found: Tensor) -> None:
        if len(found) == self.batch:
            self.totals += found
        else:
            self.totals[0] += found.sum(dtype=torch.float64)

    def _beside(self) -> contextlib.AbstractContextManager[object]:
        """In a CUDA graph, a parallel branch for work that the rest of the step need not await."""
        if self.aside is None:
            return contextlib.nullcontext()
        self.aside.wait_stream(torch.cuda.current_stream())
        return torch.cuda.stream(self.aside)

    def capture(self) -> None:
        """Capture one step. Warm-up steps change parameters and moments, which are restored."""
        with self.rehearsed():
            try:
                self.graph, _ = captured(self.step)
            except RuntimeError as why:
                self.not_captured = f"the capture failed: {str(why)[:200]}"
                self.aside = None
                say_once(f"training runs without a CUDA graph: {self.not_captured}")

    @contextlib.contextmanager
    def rehearsed(self) -> Generator[None]:
        """Restore parameters, moments and totals afterwards."""
        kept = [*self.model.parameters(), *self.optimizer.tensors(), self.totals]
        before = [tensor.detach().clone() for tensor in kept]
        yield
        with torch.no_grad():
            for tensor, value in zip(kept, before, strict=True):
                tensor.copy_(value)

    def begin(self) -> None:
        """Forget the gains so far."""
        self.totals.zero_()
        self.mass = 0.0

    def run(self, batches: Sequence[Tensor], done: int, look: Callable[[int], bool]) -> int:
        """Take a step for each batch of numbers of rows, until ``look`` wants to stop.

        The first ``done`` batches were taken before, see `resume`. ``look`` is called after each
        step, with the number of batches that are done.

        Returns:
            The number of batches that are done.
        """
        known = self._known(batches)
        if done == 0:
            self.begin()
        moved: Sequence[Tensor] = batches
        if self.gathers:
            moved = torch.cat(tuple(batches)).to(self.rows.device).split([len(b) for b in batches])
        try:
            for number in range(done, len(batches)):
                rows = moved[number] if self.source is None else self.source.take(batches[number])
                self.take(rows, known[number])
                if look(number + 1):
                    return number + 1
        finally:
            self.tell_torch()
        return len(batches)

    def resume(self, batches: Sequence[Tensor]) -> None:
        """Count the rows of batches that were taken before, whose gains are in `totals`."""
        self.mass = 0.0
        for rows, shares in zip(batches, self._known(batches), strict=True):
            self.mass += len(rows) if shares is None else float(shares.sum())

    def _known(self, batches: Sequence[Tensor]) -> list[Tensor | None]:
        """The weights of the rows of batches."""
        return [None if self.all_shares is None else self.all_shares[rows] for rows in batches]

    def mean(self) -> float:
        """The mean gain per row since `begin`, weighted; for a likelihood, in nats."""
        return float(self.totals.sum()) / self.mass

    def tell_torch(self) -> None:
        """Note that parameters have changed, which graphs and kernels do not."""
        for parameter in self.leaves.values():
            torch.autograd.graph.increment_version(parameter)

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """The optimizer's state, and the gains of the finished batches."""
        tensors, facts = self.optimizer.state()
        return {**tensors, "totals": self.totals}, facts

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """Restore a `state` in place, so that a captured graph continues with it."""
        self.totals.copy_(tensors["totals"])
        self.optimizer.restore(tensors, facts)
