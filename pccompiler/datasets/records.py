"""What the loader hands out: data sets, tables, and the facts known about a named set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Entries: TypeAlias = NDArray[np.uint8 | np.float64]
"""Rows by variables: ``uint8`` for discrete values, ``float64`` with NaN where one is missing."""

SPLITS: Final = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Splits:
    """Rows of one source, of which the validation and the test part may be absent.

    Attributes:
        name: Of the set, or the stem of the file.
        train: Shape ``(rows, num_variables)``, C-contiguous, as are the others.
        valid: Rows to choose a model by.
        test: Rows to report.
    """

    name: str
    train: Entries
    valid: Entries | None
    test: Entries | None

    @property
    def num_variables(self) -> int:
        """Number of columns."""
        return int(self.train.shape[1])


@dataclass(frozen=True, eq=False)
class Dataset(Splits):
    """Rows of one source, in all three parts."""

    valid: Entries
    test: Entries


@dataclass(frozen=True, eq=False)
class Table:
    """One table of numbers.

    Attributes:
        values: Shape ``(rows, columns)``; NaN where a value is missing.
        columns: Names from the header, or ``None`` where the file has none.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class PaperFigures:
    """Published test log-likelihoods, in nats a row.

    Attributes:
        weight_decay: SPN with direct weights and weight decay; on the hand-designed set SPN-Large.
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
    """What is known of a named data set without loading it.

    Attributes:
        name: The file name, which `load` takes.
        title: The paper's name, which `load` takes too.
        collection: ``"twenty"``, ``"amazon"``, ``"extra"`` or ``"generated"``.
        num_variables: Number of columns.
        num_train: Rows to train on.
        num_valid: Rows to choose by.
        num_test: Rows to report.
        paper: Published results, or ``None`` where the paper has none.
        paper_parameters: Published sizes of the SPN with direct weights and of the HyperSPN, as the
            paper counts them (allocated, not used), or ``None`` where none are published.
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

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shape of each part."""
        rows = (self.num_train, self.num_valid, self.num_test)
        return {part: (n, self.num_variables) for part, n in zip(SPLITS, rows, strict=True)}
