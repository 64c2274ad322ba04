"""The loader's results: data sets, tables, and facts about named data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Variable, binary, categorical, real

Entries: TypeAlias = NDArray[np.uint8 | np.float64]
"""Rows by variables: ``uint8`` for discrete values, or ``float64`` with NaN for missing values."""

Shape: TypeAlias = tuple[int, int, int]
"""Channels, height and width of an image, whose pixels are the columns in this order."""

SPLITS: Final = ("train", "valid", "test")
MOST_STATES: Final = 256
"""A column of larger whole numbers is taken to be real."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Rows of one source; the validation and the test part may be absent.

    Attributes:
        name: Name of the data set, or the stem of the file name.
        train: Rows to train on, shape ``(rows, num_variables)``, C-contiguous like the others.
        valid: Rows for model selection.
        test: Rows for reported results.
        declared: Variables of the columns, where the catalogue or a schema states them.
        image_shape: Of a set of images, whose pixels are the first columns; otherwise ``None``.
    """

    name: str
    train: Entries
    valid: Entries | None
    test: Entries | None
    declared: tuple[Variable, ...] = field(default=(), kw_only=True)
    image_shape: Shape | None = field(default=None, kw_only=True)

    @property
    def num_variables(self) -> int:
        """Number of columns."""
        return int(self.train.shape[1])

    @property
    def variables(self) -> tuple[Variable, ...]:
        """A variable for each column, for structures and the builder.

        Their domains are `declared`, or inferred from all parts and not from the training rows
        alone: whole numbers from 0 to 255 are states, and other columns are real.
        """
        if self.declared:
            return self.declared
        parts = [part for part in (self.train, self.valid, self.test) if part is not None]
        return tuple(
            _inferred(f"x{i}", [part[:, i] for part in parts]) for i in range(self.num_variables)
        )


@dataclass(frozen=True, eq=False)
class Dataset(Splits):
    """Rows of one source, with all three parts."""

    valid: Entries
    test: Entries


def states(number: int, columns: int) -> tuple[Variable, ...]:
    """Variables ``x0``, ``x1``, ... of equally many states."""
    names = [f"x{i}" for i in range(columns)]
    return tuple(binary(n) if number == 2 else categorical(n, number) for n in names)


def _inferred(name: str, parts: Sequence[Entries]) -> Variable:
    column = np.concatenate(parts).astype(np.float64)
    seen = column[~np.isnan(column)]
    whole = bool((seen == np.floor(seen)).all()) and bool((seen >= 0).all())
    if not whole or seen.max(initial=1) >= MOST_STATES:
        return real(name)
    number = int(seen.max(initial=1)) + 1
    return binary(name) if number == 2 else categorical(name, number)


@dataclass(frozen=True, eq=False)
class Table:
    """One table of numbers.

    Attributes:
        values: Shape ``(rows, columns)``; NaN where a value is missing.
        columns: Names from the header, or ``None`` if the file has no header.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class PaperFigures:
    """Published mean test log-likelihoods per row, in nats.

    Attributes:
        weight_decay: SPN with direct weights and weight decay; SPN-Large on the hand-designed set.
        hyperspn: The HyperSPN.
        einet: EiNet trained with Adam (Table 1).
        rat_spn_sem: RAT-SPN trained with stochastic EM (Table 1).
        einet_sem: EiNet trained with stochastic EM (Table 2).
        best: Best value published for any tractable model.

    Source:
        Shih, Sadigh and Ermon (2021), "HyperSPNs: Compact and Expressive Probabilistic Circuits",
        Tables 1 to 3.
    """

    weight_decay: float
    hyperspn: float
    einet: float | None = None
    rat_spn_sem: float | None = None
    einet_sem: float | None = None
    best: float | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Facts about a named data set, available without loading it.

    Attributes:
        name: The file name, which `load` takes.
        title: The paper's name, which `load` also takes.
        collection: ``"twenty"``, ``"amazon"``, ``"extra"``, ``"images"``, ``"bundled"`` or
            ``"generated"``.
        num_variables: Number of columns.
        num_train: Number of training rows.
        num_valid: Number of validation rows.
        num_test: Number of test rows.
        paper: Published results, or ``None`` if the paper has none.
        paper_parameters: Published sizes of the SPN with direct weights and of the HyperSPN, as the
            paper counts them (allocated, not used), or ``None`` if none are published.
        num_states: Number of states of each column.
        image_shape: As in `Splits`.
    """

    name: str
    title: str
    collection: str
    num_variables: int
    num_train: int
    num_valid: int
    num_test: int
    paper: PaperFigures | None = None
    paper_parameters: tuple[int, int] | None = None
    num_states: int = 2
    image_shape: Shape | None = None

    @property
    def variables(self) -> tuple[Variable, ...]:
        """A variable for each column."""
        return states(self.num_states, self.num_variables)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shape of each part."""
        rows = (self.num_train, self.num_valid, self.num_test)
        return {part: (n, self.num_variables) for part, n in zip(SPLITS, rows, strict=True)}
