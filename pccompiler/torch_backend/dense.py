"""Plans of wide dense sums over elementwise products, in fused Triton kernels on CUDA.

`pccompiler.torch_backend.dense_regions` says what they are to the kernels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from pccompiler.ir.plan import Plan
from pccompiler.torch_backend.dense_reading import regions_of
from pccompiler.torch_backend.dense_regions import NotDense, Regions

if TYPE_CHECKING:
    from pccompiler.torch_backend.dense_run import Runner

__all__ = ["Dense", "NotDense", "Precision"]

Precision = Literal["ieee", "tf32", "bf16"]
"""How matrix products round their operands: not, to 11 digits, to 8. All add up in float32."""


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
        from pccompiler.torch_backend.dense_run import Runner
        from pccompiler.torch_backend.dense_tiles import Tiles

        return cls(regions, Runner(regions, device, precision, Tiles()))

    def run(self, x: Tensor, tables: Sequence[Tensor], densities: Mapping[int, Tensor]) -> Tensor:
        """Log-likelihoods in nats, without `Plan.log_scale`, of shape (batch,); differentiable.

        Args:
            x: Shape (batch, variables), NaN where missing.
            tables: As `pccompiler.torch_backend.engine.Engine.run` takes them, in float32.
            densities: Layer to log-densities of leaves without tables, shape (rows, units, batch).
        """
        from pccompiler.torch_backend.dense_run import Run

        if len(x) == 0:
            return x.new_zeros(0)
        given = [densities[each.layer] for each in self.regions.given]
        result: Tensor = Run.apply(  # type: ignore[no-untyped-call]
            self.runner, x, len(tables), *tables, *given
        )
        return result
