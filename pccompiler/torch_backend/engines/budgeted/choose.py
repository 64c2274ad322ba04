"""Chooses blocks and rows per pass that keep evaluation and training within a budget."""

from __future__ import annotations

from collections.abc import Iterator

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.passes import plan as lower
from pccompiler.passes.lowering.peak_memory import peak
from pccompiler.passes.lowering.segments import best_segments
from pccompiler.torch_backend.engines.budgeted.schedule import Budget, Schedule, size_text

_SPLITS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
_ROWS = 500
"""Preferred rows per pass: fewer cost time, more cost only memory."""
_FEW_ROWS = 50
"""With fewer rows per pass, finer blocks are the better choice."""
_KEPT = 1.86
"""Bytes of a training step relative to all layer values; 1.85 to 1.87 in the paper's circuits.

Gathered operands come on top: circuits whose layers are not views take up to twice as much.
"""
_AGAIN = 1.22
"""Bytes of a training step relative to kept values and the largest segment; 1.17 to 1.26."""


def choose(circuit: Circuit, dtype: str, numerics: str, budget: int, level_order: Plan) -> Budget:
    """The coarsest blocks that fit, with as many rows per pass as possible.

    Raises:
        OptionError: If one row in the finest blocks needs more, or the plan is packed.
    """
    if level_order.packed:
        raise OptionError.of(
            "PC373",
            "this circuit's plan is packed, which does not support a memory budget",
            notes=("packed plans are evaluated a few rows at a time, in about 8 MiB on a CPU",),
            help="compile it without memory_budget",
        )
    itemsize = 8 if dtype == "float64" else 4
    chosen = 0, level_order, 0
    finer = _Finer(circuit, dtype, numerics, level_order)
    for splits, plan in finer:
        chosen = splits, plan, _most_rows(plan, itemsize, budget)
        if chosen[2] >= _FEW_ROWS:
            break
    splits, plan, rows = chosen
    if rows < 1:
        least = peak(plan, 1, itemsize).bytes
        raise OptionError.of(
            "PC371",
            f"memory_budget is {size_text(budget)}, but one row takes {size_text(least)}",
            notes=("even in the finest blocks; parameters and data are not counted",),
            help=f"allow at least {least:,} bytes",
        )
    found = peak(plan, rows, itemsize)
    training = _training(finer, itemsize, budget)
    schedule = Schedule(
        budget=budget,
        splits=splits,
        blocks=len(plan.layers),
        rows=rows,
        values=found.values,
        bytes=found.bytes,
        training_rows=training[0],
        training_bytes=training[1],
        training_splits=training[2],
    )
    segmented = finer.plan(schedule.training_splits) if schedule.training_splits else None
    return Budget(schedule, plan, segmented)


def _training(finer: _Finer, itemsize: int, budget: int) -> tuple[int, int, int]:
    """Rows, bytes and splits of training: as a whole if enough rows fit, otherwise in segments."""
    best = 0, 0, 0
    for splits, plan in finer:
        if splits == 0:
            per_row, fixed = training_bytes(plan, itemsize)
        else:
            cut = best_segments(plan)
            per_row = _AGAIN * (cut.kept + cut.largest) * itemsize
            fixed = float(itemsize * lay_out(plan).num_parameters)
        rows = max(0, min(_ROWS, int((budget - fixed) / per_row)))
        if rows > best[0]:
            best = rows, int(fixed + per_row * rows), splits
        if rows >= _FEW_ROWS or not _apart(plan):
            break
    return best


def _apart(plan: Plan) -> bool:
    """Whether each layer's weights can be generated separately."""
    sectors = plan.sectors
    if sectors is None or sectors.by == "block":
        return True
    shapes = {
        (weight, group.rows, group.columns)
        for group in plan.groups
        if group.generated
        for weight in group.weights.tolist()
    }
    columns = (sectors.weight.tolist(), sectors.rows.tolist(), sectors.columns.tolist())
    return set(zip(*columns, strict=True)) <= shapes


def _most_rows(plan: Plan, itemsize: int, budget: int) -> int:
    """The most rows whose evaluation fits, at most `_ROWS`; 0 if not even one row fits."""
    fit, too_many = 0, _ROWS + 1
    while too_many - fit > 1:
        rows = (fit + too_many) // 2
        if peak(plan, rows, itemsize).bytes <= budget:
            fit = rows
        else:
            too_many = rows
    return fit


class _Finer:
    """Plans in ever finer blocks, as long as they get finer; each is lowered once."""

    def __init__(self, circuit: Circuit, dtype: str, numerics: str, level_order: Plan) -> None:
        self.circuit, self.dtype, self.numerics = circuit, dtype, numerics
        self.known = {0: level_order}

    def __iter__(self) -> Iterator[tuple[int, Plan]]:
        before = 0
        for splits in _SPLITS:
            plan = self.plan(splits)
            if len(plan.layers) == before:
                return
            before = len(plan.layers)
            yield splits, plan

    def plan(self, splits: int) -> Plan:
        if splits not in self.known:
            self.known[splits] = lower(
                self.circuit, dtype=self.dtype, numerics=self.numerics, splits=splits
            )
        return self.known[splits]


def training_bytes(plan: Plan, itemsize: int) -> tuple[float, float]:
    """Predicted bytes of values and gradients per row of data, and of weights in total."""
    per_row = _KEPT * plan.cost(1).all_values * itemsize
    groups = plan.groups
    entries = sum(
        len(use.index) * groups[use.group].rows * groups[use.group].columns for use in plan.uses
    )
    generated = any(group.generated for group in groups)
    return per_row, (7.2 if generated else 4.4) * entries * itemsize
