"""Flows and gradients do not depend on the batch: batch sizes 1, 7, 100, 500 and 512.

    python -m benchmarks.correctness.flow_invariant [cuda]

Of one sample: the flows of the leaves over each variable sum to 1, and the flows of all sum units
to the number of sum regions that an induced tree passes (the same for all trees of these
structures). Flows of a row are the same in every batch, and the gradient of a batch is the sum of
its rows' gradients: checked for ordinary and packed plans, log numerics, direct weights and a
hypernetwork.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Circuit, Hypernetwork, Kind
from pccompiler.ir.kinds import PRODUCTS
from pccompiler.testing.scalars import to_scalars
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.engines.arena.program import BagStep, DenseStep, program_of
from pccompiler.torch_backend.engines.arena.tables import tables_of
from pccompiler.torch_backend.engines.arena.topdown import ascend, descend
from pccompiler.torch_backend.engines.questions import Wanted

SIZES = (1, 7, 100, 500, 512)
VARIANTS = ("ordinary", "log", "packed", "hypernetwork", "hypernetwork log")
DTYPES: tuple[Literal["float32", "float64"], ...] = ("float64", "float32")
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


@dataclass(frozen=True)
class Deviation:
    """Largest deviations over all batch sizes.

    Attributes:
        variables: Of the leaf flows of a sample and variable from 1.
        regions: Of the sum flows of a sample from ``active``, by ``active``.
        rows: Of a row's flows in a batch from its flows alone.
        gradients: Of a batch's gradient from the sum of its rows' gradients, by the largest sum of
            the rows' absolute gradients in all parameters.
        cancelled: The same, by the largest such sum in that parameter alone; informative. The
            gradient of a logit is a flow minus a weight's share of flows; where these nearly
            cancel, rounding of flows is relatively large: float32 then shows a few 1e-5.
        active: Sum regions that an induced tree passes.
    """

    variables: float
    regions: float
    rows: float
    gradients: float
    cancelled: float
    active: int

    @property
    def worst(self) -> float:
        """The largest of all but `cancelled`."""
        return max(self.variables, self.regions, self.rows, self.gradients)


def model_of(
    variant: str, dtype: Literal["float32", "float64"], device: str, variables: int = 12
) -> CompiledCircuit:
    """A binary RAT-SPN in one of the variants."""
    circuit = pc.rat_spn(variables, 3, 2)
    if variant == "packed":
        weights = pc.compile(circuit, dtype="float64", seed=1).trained_circuit()
        circuit = to_scalars(weights)
    net = Hypernetwork() if variant.startswith("hypernetwork") else None
    numerics: Literal["auto", "log"] = "log" if variant.endswith("log") else "auto"
    model = pc.compile(circuit, net, dtype=dtype, device=device, numerics=numerics, seed=1)
    if (variant == "packed") != model.plan.packed:
        raise RuntimeError(f"{variant}: packed is {model.plan.packed}")
    return model


def active_regions(circuit: Circuit) -> int:
    """Sum regions in each induced tree; all trees must have as many.

    Raises:
        ValueError: If they do not.
    """
    counts = np.zeros(circuit.num_nodes, np.int64)
    for node in range(circuit.num_nodes):
        below = counts[circuit.operands_of(node)]
        if circuit.kind[node] in PRODUCTS:
            counts[node] = below.sum()
        elif circuit.kind[node] != Kind.INPUT:
            if len(set(below.tolist())) != 1:
                raise ValueError(f"trees below node {node} pass different numbers of sums")
            counts[node] = 1 + below[0]
    return int(counts[circuit.root])


@torch.no_grad()
def unit_flows(model: CompiledCircuit, rows: Tensor) -> Tensor:
    """Flows of all units of the model's program, shape (units, batch)."""
    program = program_of(model.plan, model.device)
    weights, leaves = model.weights()
    tables = tables_of(model.plan, program, model.leaf_inputs(rows, leaves), weights)
    values = ascend(program, tables)
    return descend(program, tables, values, torch.ones_like(values[-1]), Wanted.POSTERIOR)


def totals(model: CompiledCircuit, flows: Tensor) -> tuple[Tensor, Tensor]:
    """Flows by variable, shape (variables, batch), and of all sums, shape (batch,)."""
    program = program_of(model.plan, model.device)
    leaves = flows.new_zeros(len(model.circuit.variables), flows.shape[1])
    sums = flows.new_zeros(flows.shape[1])
    for step in program.steps:
        mine = flows[step.start : step.stop]
        if isinstance(step, BagStep | DenseStep):
            sums += mine.sum(0)
        variables = model.plan.layers[step.number].variables
        if variables is not None:
            index = torch.from_numpy(variables.copy()).to(flows.device).long()
            leaves.index_add_(0, index, mine.view(len(index), -1, flows.shape[1]).sum(1))
    return leaves, sums


def gradients(model: CompiledCircuit, rows: Tensor) -> list[Tensor]:
    """Of the sum of the rows' log-likelihoods, parameter by parameter."""
    wanted = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        return list(torch.autograd.grad(model.evaluate_unchecked(rows).sum(), wanted))


def deviation(
    model: CompiledCircuit, sizes: tuple[int, ...] = SIZES, missing: float = 0.2, seed: int = 0
) -> Deviation:
    """Measure one model on random rows, each batch against its rows one by one."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 2, (max(sizes), len(model.circuit.variables))).astype(np.float64)
    table[rng.random(table.shape) < missing] = np.nan
    rows = model.prepare(table)
    alone = torch.cat([unit_flows(model, row) for row in rows.split(1)], dim=1)
    single = [gradients(model, row) for row in rows.split(1)]
    active = active_regions(model.circuit)
    worst = [0.0] * 5
    for size in sizes:
        flows = unit_flows(model, rows[:size])
        leaves, sums = totals(model, flows)
        found = gradients(model, rows[:size])
        here = (
            _largest(leaves - 1.0),
            _largest(sums - active) / max(active, 1),
            _largest(flows - alone[:, :size]),
            *_apart(found, single[:size]),
        )
        worst = [max(pair) for pair in zip(worst, here, strict=True)]
    variables, regions, alike, summed, own = worst
    return Deviation(variables, regions, alike, summed, own, active)


def _largest(values: Tensor) -> float:
    return float(values.abs().max())


def _apart(found: list[Tensor], single: list[list[Tensor]]) -> tuple[float, float]:
    """`gradients` and `cancelled`."""
    rows = [torch.stack(each).double() for each in zip(*single, strict=True)]
    scales = [max(float(r.abs().sum(0).max()), 1e-30) for r in rows]
    errors = [_largest(g.double() - r.sum(0)) for g, r in zip(found, rows, strict=True)]
    own = max(error / scale for error, scale in zip(errors, scales, strict=True))
    return max(errors) / max(scales), own


def main() -> None:
    """Measure all variants, and fail if one deviates."""
    from benchmarks.common import Report

    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    report = Report(f"flow_invariant_{device}")
    bad = []
    for variant in VARIANTS:
        for dtype in DTYPES:
            found = deviation(model_of(variant, dtype, device))
            report.add(variant=variant, dtype=dtype, sizes=list(SIZES), **asdict(found))
            if not found.worst < TOLERANCE[dtype]:
                bad.append(f"{variant} {dtype}: {found.worst:.1e}")
    if bad:
        raise SystemExit("; ".join(bad))


if __name__ == "__main__":
    main()
