"""How a memory budget is kept, for people and for programs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pccompiler.drawing import to_svg
from pccompiler.drawing.curves import draw_share
from pccompiler.errors import OptionError
from pccompiler.ir.plan.plan import Plan
from pccompiler.options import MOST, as_float, shown
from pccompiler.showing import Table, as_html, brief

_UNITS = {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_bytes(text: str | int) -> int:
    """Parse a number of bytes, or text such as ``"64 MiB"``.

    Raises:
        OptionError: If it is not a positive number of bytes.
    """
    number = _of_text(text) if isinstance(text, str) else as_float(text)
    if number is None or not 1 <= number <= MOST:
        raise OptionError.of(
            "PC370",
            f"memory_budget is {shown(text)}, which is not a valid size",
            help='give a positive number, or text such as "64 MiB"',
        )
    return int(number)


def _of_text(text: str) -> float | None:
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = _UNITS.get(match[2].lower().removesuffix("bytes")) if match else None
    return float(match[1]) * unit if match and unit is not None else None


@dataclass(frozen=True)
class Schedule:
    """How a circuit is evaluated within a budget; bytes do not include parameters and data.

    Attributes:
        budget: The budget.
        splits: How far `pccompiler.passes.lowering.blocks` cuts layers; 0 means level order.
        blocks: Number of layers of the plan, once cut into blocks.
        rows: Rows of data per pass.
        values: The most numbers alive at once.
        bytes: Predicted peak of an evaluation.
        training_rows: Rows per pass when gradients are computed, each part being evaluated again
            on the way down; 0 if not even one row fits.
        training_bytes: Predicted peak of a training step.
        training_splits: 0 if a part is evaluated as a whole, in level order. Otherwise the
            ``splits`` of the plan whose segments are evaluated again, one at a time.
    """

    budget: int
    splits: int
    blocks: int
    rows: int
    values: int
    bytes: int
    training_rows: int
    training_bytes: int
    training_splits: int = 0

    def __str__(self) -> str:
        order = f"{self.blocks:,} blocks in post-order" if self.splits else "level order"
        text = (
            f"evaluation: {order}, {self.rows:,} rows at once, {self.values:,} values alive, "
            f"{size_text(self.bytes)} of {size_text(self.budget)}\n"
        )
        if self.training_rows:
            how = "segment by segment" if self.training_splits else "as a whole"
            return text + (
                f"training: {self.training_rows:,} rows at once, evaluated again on the way back "
                f"{how}, {size_text(self.training_bytes)}\n"
            )
        return text + "training: does not fit\n"

    def __repr__(self) -> str:
        facts = {"budget": self.budget, "bytes": self.bytes, "rows": self.rows}
        return brief(self, {**facts, "training_rows": self.training_rows})

    def _repr_html_(self) -> str:
        """HTML for notebooks: the share of the budget, and both directions."""
        words = f"{size_text(self.bytes)} of {size_text(self.budget)}, predicted for an evaluation"
        picture = to_svg(draw_share(self.bytes, self.budget, words))
        lines = [line.split(": ", 1) for line in str(self).splitlines()]
        return as_html(repr(self), [Table(("", "how"), lines)], picture)


@dataclass(frozen=True, eq=False)
class Budget:
    """A schedule with the plans that it evaluates.

    Attributes:
        schedule: How the budget is kept.
        plan: The plan in blocks, unless level order fits.
        segmented: The plan whose segments are evaluated again on the way down; ``None`` if
            evaluating a few rows at a time is enough.
    """

    schedule: Schedule
    plan: Plan
    segmented: Plan | None


def size_text(number: int) -> str:
    """A number of bytes as text."""
    for unit, name in ((2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:,} bytes"
