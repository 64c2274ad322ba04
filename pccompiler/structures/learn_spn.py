"""LearnSPN for discrete data: splits independent columns, and otherwise clusters the rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, Family, Variable
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.options import as_float, seed_of, shown, whole
from pccompiler.structures.chow_liu import check_discrete, check_pseudocount
from pccompiler.structures.tools.columns import check_columns, coded, read_columns
from pccompiler.structures.tools.information import mutual_information_of, one_hot


def learn_spn(
    data: ArrayLike,
    variables: Sequence[Variable] | None = None,
    *,
    min_rows: int = 50,
    significance: float = 1e-3,
    pseudocount: float = 1.0,
    seed: int = 0,
) -> Circuit:
    """Learn the structure and the values of a circuit from discrete data.

    Starts with all rows and columns. If a G-test finds independent groups of columns, they form a
    product. Otherwise 2-means clusters the rows, which form a sum weighted by cluster size. A part
    with one column, few rows or only equal rows becomes a product of categorical distributions.

    Args:
        data: Shape ``(rows, n)``; states are 0, 1, ... Missing values are NaN.
        variables: One for each column, all discrete; by default inferred from the data.
        min_rows: Parts with fewer rows are not split further.
        significance: Probability with which the G-test calls an independent pair dependent.
        pseudocount: Rows spread evenly over the states of each leaf.
        seed: Seed of the first centres of 2-means.

    Raises:
        DataError: If the data are not a table, do not fit the variables, or are not discrete.
        OptionError: If an option cannot be used.

    Source:
        Gens and Domingos (2013), "Learning the Structure of Sum-Product Networks"; here rows are
        clustered by 2-means on indicators of states.
    """
    table, chosen = read_columns(data, variables)
    check_columns(table, chosen)
    pseudocount = check_pseudocount(pseudocount)
    min_rows, rng = whole("min_rows", min_rows), np.random.default_rng(seed_of(seed))
    chance = as_float(significance)
    if chance is None or not 0.0 < chance < 1.0:
        raise OptionError.of(
            "PC302",
            f"significance is {shown(significance)}",
            help="use a probability, for example 0.001",
        )
    check_discrete(chosen, "learn_spn")
    codes, sizes = coded(table, chosen, None)
    search = _Search(codes, sizes, min_rows, chance, rng)
    return _circuit(chosen, search.run(), codes, sizes, pseudocount)


@dataclass
class _Part:
    """Rows and columns of the data, and how they are split: not at all, by columns, or by rows."""

    rows: Int
    columns: Int
    operation: str = "leaf"
    children: list[int] = field(default_factory=list[int])


@dataclass
class _Search:
    """Splits the data top-down into parts; children come after their parent."""

    codes: Int
    sizes: Int
    min_rows: int
    significance: float
    rng: np.random.Generator

    def run(self) -> list[_Part]:
        """All parts, starting with the whole data."""
        parts = [_Part(np.arange(len(self.codes)), np.arange(len(self.sizes)))]
        waiting = deque([0])
        while waiting:
            part = parts[waiting.popleft()]
            part.operation, found = self._split(part)
            part.children = list(range(len(parts), len(parts) + len(found)))
            waiting.extend(part.children)
            parts.extend(found)
        return parts

    def _split(self, part: _Part) -> tuple[str, list[_Part]]:
        if len(part.columns) == 1 or len(part.rows) < self.min_rows:
            return "leaf", []
        codes, sizes = self.codes[part.rows[:, None], part.columns], self.sizes[part.columns]
        groups = _components(self._dependent(codes, sizes))
        if len(groups) > 1:
            return "product", [_Part(part.rows, part.columns[group]) for group in groups]
        side = _two_means(one_hot(codes, sizes), self.rng)
        if side.all() or not side.any():
            return "leaf", []
        return "sum", [_Part(part.rows[mine], part.columns) for mine in (side, ~side)]

    def _dependent(self, codes: Int, sizes: Int) -> NDArray[np.bool_]:
        """Pairs with a significant G statistic, which is 2 N times the mutual information."""
        states = np.array([len(np.unique(c[c >= 0])) for c in codes.T])
        freedom = np.outer(states - 1, states - 1).clip(min=1)
        seen = (codes >= 0).astype(np.float64)
        statistic = 2.0 * (seen.T @ seen) * mutual_information_of(codes, sizes, 0.0)
        return np.asarray(statistic > _chi_square(freedom, self.significance))


def _chi_square(freedom: Int, tail: float) -> Float:
    """The value that a chi-square variable exceeds with probability ``tail``.

    Source:
        Wilson and Hilferty (1931). With one degree of freedom it is 3 % too large at a tail of 1e-3
        and 7 % at 1e-4; with more it is closer.
    """
    z = NormalDist().inv_cdf(1.0 - tail)
    spread = 2.0 / (9.0 * freedom)
    return np.asarray(freedom * (1.0 - spread + z * np.sqrt(spread)) ** 3)


def _components(linked: NDArray[np.bool_]) -> list[Int]:
    """Groups of indices that are connected by links."""
    group = np.full(len(linked), -1)
    number = 0
    while (group < 0).any():
        reached = np.zeros(len(linked), np.bool_)
        reached[int(np.argmax(group < 0))] = True
        size = 0
        while size < int(reached.sum()):
            size = int(reached.sum())
            reached |= linked[reached].any(axis=0)
        group[reached] = number
        number += 1
    return [np.flatnonzero(group == g) for g in range(number)]


def _two_means(points: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows belong to the second of two clusters; none if all rows are equal."""
    first = points[rng.integers(len(points))]
    far = ((points - first) ** 2).sum(axis=1, dtype=np.float64)
    if not far.any():
        return np.zeros(len(points), np.bool_)
    centres = np.stack([first, points[rng.choice(len(points), p=far / far.sum())]])
    side = np.zeros(len(points), np.bool_)
    for _ in range(50):
        middle = (centres[1] ** 2 - centres[0] ** 2).sum() / 2
        nearer = points @ (centres[1] - centres[0]) > middle
        if (nearer == side).all() or nearer.all() or not nearer.any():
            break
        side = nearer
        centres = np.stack([points[~side].mean(axis=0), points[side].mean(axis=0)])
    return side


def _circuit(
    variables: Sequence[Variable],
    parts: Sequence[_Part],
    codes: Int,
    sizes: Int,
    pseudocount: float,
) -> Circuit:
    """Build leaves in bulk, then sums and products from the last part to the first."""
    builder = Builder(variables)
    leaves = [i for i, part in enumerate(parts) if part.operation == "leaf"]
    scope = np.concatenate([parts[i].columns for i in leaves])
    start = segments(np.array([len(parts[i].columns) for i in leaves])).tolist()
    inputs = builder.inputs(scope, Family.CATEGORICAL)
    values: dict[int, Float] = {}
    node = np.full(len(parts), -1)
    for leaf, begin, end in zip(leaves, start[:-1], start[1:], strict=True):
        mine, part = inputs[begin:end], parts[leaf]
        node[leaf] = mine[0] if len(mine) == 1 else builder.products(mine[None])[0]
        for column, weight in zip(
            part.columns.tolist(), builder.weight_of(mine).tolist(), strict=True
        ):
            seen = codes[part.rows, column]
            values[weight] = _probabilities(seen, int(sizes[column]), pseudocount)
    for i in reversed(range(len(parts))):
        part = parts[i]
        operands = node[part.children][None]
        if part.operation == "product":
            node[i] = builder.products(operands)[0]
        elif part.operation == "sum":
            made = builder.sums(operands, 1)
            node[i] = made[0]
            rows = np.array([[len(parts[child].rows) for child in part.children]], np.float64)
            values[int(builder.weight_of(made)[0])] = rows / rows.sum()
    return builder.build(int(node[0])).with_values(values)


def _probabilities(codes: Int, size: int, pseudocount: float) -> Float:
    counts = np.bincount(codes[codes >= 0], minlength=size) + pseudocount / size
    if not counts.any():
        counts = np.ones(size)
    return np.asarray(counts / counts.sum(), np.float64)[None]
