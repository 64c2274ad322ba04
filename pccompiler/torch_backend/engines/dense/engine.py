"""Plans of wide dense sums over elementwise products, in fused Triton kernels on CUDA.

`pccompiler.torch_backend.engines.dense.regions` says what they are to the kernels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.dense.buffers import Precision
from pccompiler.torch_backend.engines.dense.match import regions_of
from pccompiler.torch_backend.engines.dense.regions import NotDense, Regions
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.runtime.kernel_cache import KernelError

if TYPE_CHECKING:
    from pccompiler.torch_backend.weights.weights import Weights

if TYPE_CHECKING:
    from pccompiler.torch_backend.engines.dense.launch import Runner

__all__ = ["Dense", "NotDense", "Precision"]


class Dense:
    """A plan in fused kernels on one device."""

    def __init__(self, regions: Regions, runner: Runner) -> None:
        self.regions, self.runner = regions, runner

    @classmethod
    def of(cls, plan: Plan, device: torch.device, precision: Precision = "tf32") -> Dense:
        """Kernels for ``plan``.

        Args:
            plan: What to run.
            device: A CUDA device; a CPU only under Triton's interpreter.
            precision: Of the matrix products.

        Raises:
            NotDense: If the plan is of another kind, or Triton is not there.
        """
        regions = regions_of(plan)
        if importlib.util.find_spec("triton") is None:
            raise NotDense("Triton is not installed")
        from pccompiler.torch_backend.engines.dense.launch import Runner
        from pccompiler.torch_backend.engines.dense.tiles import Tiles

        return cls(regions, Runner(regions, device, precision, Tiles()))

    def run(self, x: Tensor, tables: Sequence[Tensor], densities: Mapping[int, Tensor]) -> Tensor:
        """Log-likelihoods in nats, without `Plan.log_scale`, of shape (batch,); differentiable.

        Args:
            x: Shape (batch, variables), NaN where missing.
            tables: As `pccompiler.torch_backend.engines.layered.engine.Engine.run` takes them, in
            float32.
            densities: Layer to log-densities of leaves without tables, shape (rows, units, batch).
        """
        from pccompiler.torch_backend.engines.dense.launch import Run

        if len(x) == 0:
            return x.new_zeros(0)
        given = [densities[each.layer] for each in self.regions.given]
        result: Tensor = Run.apply(  # type: ignore[no-untyped-call]
            self.runner, x, len(tables), *tables, *given
        )
        return result


_PRECISIONS: dict[str, Precision] = {"highest": "ieee", "high": "tf32", "medium": "bf16"}


class Wide:
    """A circuit of wide sums in Triton kernels; torch makes the weights."""

    def __init__(self, plan: Plan, weights: Weights, device: torch.device) -> None:
        """Read the plan.

        Raises:
            NotDense: If it has other layers than inputs, products, mixtures and wide sums.
        """
        self.dense, self.weights = Dense.of(plan, device), weights
        self.leaves = LeafInputs(plan, device, torch.float32)
        self.proven = False

    def __call__(self, x: Tensor, complete: bool) -> Tensor:
        """See `Kernels`. Matrix products are as precise as torch's are set to be.

        Raises:
            KernelError: If Triton cannot compile or start them: it needs a C compiler, too.
        """
        self.dense.runner.precision = _PRECISIONS[torch.get_float32_matmul_precision()]
        tables, leaves = self.weights()
        try:
            found = self.dense.run(x, tables, self.leaves.densities(x, leaves))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # Triton has no class of its own for them
            if self.proven:
                raise
            raise KernelError(f"Triton fails: {str(error)[:200]}") from error
        self.proven = True
        return found
