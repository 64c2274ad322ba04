"""The E-step: expected counts from one walk up and one down.

The flow of a weight, ``w dL/dw``, is the expected number of rows that pass through it; the flow of
a leaf's unit is its responsibility for the row.

Source:
    Darwiche (2003), "A Differential Approach to Inference in Bayesian Networks"; Peharz et al.
    (2017), "On the Latent Variable Interpretation in Sum-Product Networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.questions import Batch
from pccompiler.torch_backend.leaves.inputs import LeafLayer
from pccompiler.torch_backend.model import CompiledCircuit

_BYTES = 2**30


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected counts and responsibilities of one batch.

    Attributes:
        log_likelihood: Sum over the batch, in nats, 0-d, float64.
        counts: Group of sums, Bernoulli or categorical leaves to expected counts, shape (weights,
            rows, columns), of both states for Bernoulli. Shared weights add their counts.
        flows: Layers of the other leaves to the column, shape (rows, 1, batch), and each unit's
            responsibility, (rows, units, batch), which is 0 where the value is missing.
    """

    log_likelihood: Tensor
    counts: dict[int, Tensor]
    flows: list[tuple[LeafLayer, Tensor, Tensor]]


class Expectation:
    """The E-step at a model's current weights, which must not be generated.

    A missing value gives leaves no counts. (A sum over indicators may get expected counts, in
    proportion to its weights, which is the expectation over the missing value.)
    """

    def __init__(self, model: CompiledCircuit) -> None:
        self.model = model
        weights = model.weights
        self.tables = {number: weights.constrained(number) for number in weights.tables}
        self.leaves = weights.leaves()

    def of(self, x: Tensor, complete: bool, shares: Tensor | None = None) -> Expected:
        """Expected counts for the rows of ``x``.

        Args:
            x: Shape ``(batch, variables)``, as `prepare` returns it.
            complete: A promise that no value is missing.
            shares: Positive weights of the rows, shape ``(batch,)``; ``None``: all 1.
        """
        source, columns = self.model.leaf_inputs, x.t().contiguous()
        others = [layer for layer in source.layers if layer.number in self.leaves]
        seen = [layer.column(columns) for layer in others]
        densities = [
            layer.log_density(column, self.leaves[layer.number], source.exact)
            for layer, column in zip(others, seen, strict=True)
        ]
        rows = x.new_ones(len(x)) if shares is None else shares.to(x)
        operands = [*self.tables.values(), *densities]
        value, found = self.model.engines.counts(Batch(x, complete), operands, rows)
        number = len(self.tables)
        flows = [
            (layer, column, flow if complete else flow.masked_fill(column.isnan(), 0.0))
            for layer, column, flow in zip(others, seen, found[number:], strict=True)
        ]
        total = (rows.double() * (value.double() + self.model.plan.log_scale)).sum()
        counts = dict(zip(self.tables, found[:number], strict=True))
        return Expected(total, counts, flows)


def rows_at_once(model: CompiledCircuit) -> int:
    """Rows whose way up and down take about 1 GiB; more on a large GPU, fewer on a CPU.

    On a CPU they should fit the caches.
    """
    a_row = 3 * model.plan.cost(1).all_values * model.dtype.itemsize
    most, room = 32_768, _BYTES
    if model.device.type == "cpu":
        most = 500
    elif model.device.type == "cuda":
        room = max(room, torch.cuda.get_device_properties(model.device).total_memory // 8)
    return max(1, min(most, room // max(a_row, 1)))
