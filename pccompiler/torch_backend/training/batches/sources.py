"""Training rows that stay where they are, or are copied to the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias, cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pccompiler.errors import DataError
from pccompiler.torch_backend.data.inputs import as_tensor
from pccompiler.torch_backend.evaluator import Evaluator

Given: TypeAlias = Tensor | ArrayLike | Dataset[Any] | DataLoader[Any]  # items of any type
"""Rows for training: a tensor, an array, a dataset, or a loader of batches."""


class Source(Protocol):
    """Rows that are gathered batch by batch.

    Attributes:
        complete: Whether it is known that no value is missing.
    """

    complete: bool

    def __len__(self) -> int: ...

    def take(self, numbers: Tensor) -> Tensor:
        """The rows with these numbers, checked, on the model's device."""
        ...

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in order, ``size`` at a time, checked, on the model's device."""
        ...


class DatasetRows:
    """The rows of a map-style dataset. See `Source`."""

    complete = False

    def __init__(self, model: Evaluator, dataset: Dataset[Any]) -> None:
        self.model, self.dataset = model, dataset

    def __len__(self) -> int:
        return len(cast(Any, self.dataset))  # Dataset has no __len__; map-style ones do

    def take(self, numbers: Tensor) -> Tensor:
        """See `Source`."""
        items = [first_entry(self.dataset[number]) for number in numbers.tolist()]
        return self.model.checked(torch.stack([as_tensor(item) for item in items])).detach()

    def split(self, size: int) -> Iterator[Tensor]:
        """See `Source`."""
        return (self.take(part) for part in torch.arange(len(self), device="cpu").split(size))


class Loaded:
    """The batches of a loader, in its order, over and over."""

    def __init__(self, model: Evaluator, loader: DataLoader[Any]) -> None:
        self.model, self.loader = model, loader
        self.iterator: Iterator[object] = iter(loader)
        self.waiting: list[Tensor] = []
        """Batches that were looked at, and not yet trained on."""

    @property
    def epoch(self) -> int | None:
        """The number of batches, if the loader knows it."""
        try:
            return len(self.loader)
        except TypeError:
            return None

    def next(self) -> Tensor:
        """The rows of the next batch, checked, on the model's device."""
        if self.waiting:
            return self.waiting.pop(0)
        found = self._pull()
        if found is None:
            self.iterator = iter(self.loader)
            found = self._pull()
        if found is None:
            raise DataError.of("PC403", "the loader gives no rows", help="give at least one row")
        return found

    def first(self, rows: int) -> list[Tensor]:
        """Batches of at least so many rows, or all; training uses them next."""
        if not self.waiting:
            self.waiting.append(self.next())
        while sum(map(len, self.waiting)) < rows:
            found = self._pull()
            if found is None:
                break
            self.waiting.append(found)
        return self.waiting

    def whole_epoch(self) -> list[Tensor]:
        """All batches until the loader ends."""
        found = [self.next()]
        while (batch := self._pull()) is not None:
            found.append(batch)
        return found

    def split(self, size: int) -> Iterator[Tensor]:
        """Nothing: the rows of a loader have no numbers by which to name them."""
        return iter(())

    def _pull(self) -> Tensor | None:
        """The next batch that has rows; ``None`` at the end."""
        for batch in self.iterator:
            rows = self.model.checked(cast(ArrayLike, first_entry(batch))).detach()
            if len(rows):
                return rows
        return None


Data: TypeAlias = Tensor | Source | Loaded


def first_entry(item: object) -> object:
    """The rows of a batch, or the row of an item: itself, or the first entry of a tuple or list.

    Raises:
        DataError: If it is a dictionary, or an empty tuple.
    """
    if isinstance(item, Mapping):
        keys = ", ".join(repr(key) for key in item)
        raise DataError.of(
            "PC834",
            f"the data come as dictionaries, with the keys {keys}",
            help="give tensors, or tuples whose first entry holds the rows: for a loader, "
            "collate_fn=lambda items: torch.stack([item['x'] for item in items])",
        )
    if not isinstance(item, tuple | list):
        return item
    if not item:
        raise DataError.of(
            "PC834", "the data come as empty tuples", help="put the rows into the first entry"
        )
    return cast("tuple[object, ...]", item)[0]
