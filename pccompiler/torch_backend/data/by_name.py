"""Questions asked by name are answered by name: with data frames and series."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from torch import Tensor

from pccompiler.frames import Schema
from pccompiler.frames.decoding import decoded
from pccompiler.frames.native import build_frame, build_series, library_of
from pccompiler.tables import as_records, is_frame

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Named(Protocol):
    """A model that may have a schema."""

    @property
    def schema(self) -> Schema | None:
        """What the columns of data frames mean."""
        ...

    @property
    def answers_by_name(self) -> bool:
        """Whether data frames are answered with data frames."""
        ...


_Model = TypeVar("_Model", bound=Named)


@dataclass(frozen=True)
class Home:
    """Where an answer belongs: the kind of its frames, and the index of its rows.

    Attributes:
        schema: The model's.
        library: The library of frames.
        index: The index of the rows of evidence, for pandas; ``None`` if there is none.
        asked: The arguments of the question, by name.
    """

    schema: Schema
    library: str
    index: Any
    asked: Mapping[str, Any]

    def series(self, name: str, values: Tensor, variable: int | None = None) -> Any:
        """A series with a value for each row, or for each of several answers to each row.

        Args:
            name: The name of the series.
            values: Of any shape; the first axis is that of the rows.
            variable: Whose states the values are; ``None`` for numbers.
        """
        flat = values.detach().cpu().flatten().numpy()
        listed: Any = flat
        if variable is not None:
            listed = decoded(self.schema.variables[variable], flat)
        return build_series(name, listed, self.library, self._index(len(flat)))

    def rows(self, rows: Tensor) -> Any:
        """A frame with the labels of rows, shape (..., variables)."""
        flat = rows.detach().cpu().flatten(0, -2)
        return build_frame(self.schema.lists(flat), self.library, self._index(len(flat)))

    def table(self, columns: Mapping[str, Tensor]) -> Any:
        """A frame of numbers; each column has a number for each row."""
        found = {name: values.detach().cpu().numpy() for name, values in columns.items()}
        number = len(next(iter(found.values()), ()))
        return build_frame(found, self.library, self._index(number))

    def _index(self, number: int) -> Any:
        """The index of the evidence for ``number`` answers, as many to each row."""
        if self.index is None or not len(self.index) or number % len(self.index):
            return None
        return self.index.repeat(number // len(self.index))


Answer = Callable[[Home, Any], Any]
"""Turns the answer of a question into frames and series."""


def by_name(
    answer: Answer,
) -> Callable[[Callable[Concatenate[_Model, _P], _R]], Callable[Concatenate[_Model, _P], _R]]:
    """Lets a query of a model with a schema answer by name if it is asked by name.

    A data frame is answered with frames of its library and with its index. Evidence in dicts, and
    none at all, is answered with frames of the schema's library. Tensors and arrays are answered
    with tensors.

    Args:
        answer: Turns tensors into frames.
    """
    return lambda query: _named(query, answer, frames_only=False)


def numbers_by_name(
    query: Callable[Concatenate[_Model, _P], _R],
) -> Callable[Concatenate[_Model, _P], _R]:
    """Lets a query answer a data frame with a series, which is called like the query.

    All other evidence is answered with a tensor, which may have derivatives.
    """
    name = query.__name__
    return _named(query, lambda home, found: home.series(name, found), frames_only=True)


def _named(
    query: Callable[Concatenate[_Model, _P], _R], answer: Answer, *, frames_only: bool
) -> Callable[Concatenate[_Model, _P], _R]:
    names = signature(query)

    @functools.wraps(query)
    def run(model: _Model, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        found = query(model, *args, **kwargs)
        if model.schema is None or not model.answers_by_name:
            return found
        home = _home(model.schema, names.bind(model, *args, **kwargs).arguments, frames_only)
        return found if home is None else cast(_R, answer(home, found))

    return run


def _home(schema: Schema, asked: Mapping[str, Any], frames_only: bool) -> Home | None:
    frames = [value for value in asked.values() if is_frame(value)]
    if frames:
        library = library_of(frames[0])
        index = max((getattr(f, "index", None) for f in frames), key=_length)
        return None if library is None else Home(schema, library, index, asked)
    evidence = asked.get("evidence", asked.get("x"))
    named = evidence is None or as_records(evidence) is not None
    if frames_only or not named or schema.library is None:
        return None
    return Home(schema, schema.library, None, asked)


def _length(index: Any) -> int:
    return 0 if index is None else len(index)
