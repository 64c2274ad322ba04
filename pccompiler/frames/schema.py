"""A schema: what the columns of data frames mean to a circuit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import DataError, OptionError, closest
from pccompiler.frames.columns import as_values, changed, from_values, source_of
from pccompiler.frames.decoding import decoded
from pccompiler.frames.inferring import infer_column, variable_names
from pccompiler.frames.native import build_frame, library_of
from pccompiler.frames.text import headline, listed
from pccompiler.ir import Variable
from pccompiler.ir.variables import Label, Source
from pccompiler.options import shown
from pccompiler.showing import as_html, as_text
from pccompiler.tables import as_numbers, as_table, frame_labels, is_frame, wrong_shape
from pccompiler.tables.labels import Codes, States, cells


@dataclass(frozen=True, repr=False, eq=False)
class Schema:
    """The columns of data frames as variables of a circuit, with their labels.

    A schema does not change; `replace` returns another one. Printed, it is a table that says what
    each column is, and why.

    Attributes:
        variables: The variables, for structures and the builder.
    """

    variables: tuple[Variable, ...]

    @classmethod
    def infer(cls, frame: Any) -> Schema:
        """Find out what the columns of a data frame are.

        Booleans are binary. Text is categorical, or binary with two labels; its labels are sorted.
        A column with declared categories (pandas' ``Categorical``, polars' ``Enum``) keeps all of
        them in their order. Whole numbers from 0 to 255 are counts, or binary if none exceeds 1;
        all other numbers are real. `replace` changes what was decided.

        Args:
            frame: A data frame of pandas, polars, pyarrow or another library.

        Raises:
            DataError: If it is not a data frame, or a column is neither numbers, text nor booleans.
        """
        if not is_frame(frame):
            raise DataError.of(
                "PC802",
                f"a schema cannot be inferred from {shown(type(frame).__name__)}",
                help="give a data frame of pandas, polars or pyarrow; collect a lazy one first",
            )
        names = [_text(label) for label in frame_labels(frame)]
        if not names:
            raise DataError.of("PC802", "the data frame has no columns", help="give at least one")
        library = library_of(frame)
        found = [
            infer_column(
                variable, Source(name, library=library), cells(frame[name]), _declared(frame[name])
            )
            for name, variable in zip(names, variable_names(names), strict=True)
        ]
        return cls(tuple(found))

    @classmethod
    def of(cls, variables: Iterable[Variable]) -> Schema | None:
        """The schema that all of these variables came from; ``None`` if one came from none."""
        given = tuple(variables)
        return None if any(variable.source is None for variable in given) else cls(given)

    @property
    def library(self) -> str | None:
        """The library of the frame that it was inferred from, whose frames `decode` returns."""
        return source_of(self.variables[0]).library

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(source_of(variable).column for variable in self.variables)

    @cached_property
    def codes(self) -> Codes:
        """For each column the state of each label; empty if it holds numbers."""
        return tuple(_states(source_of(variable).labels) for variable in self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def __getitem__(self, name: str) -> Variable:
        """The variable of a column.

        Raises:
            OptionError: If there is no such column.
        """
        return self.variables[self._place(name)]

    def replace(self, /, **domains: str | Sequence[Label]) -> Schema:
        """A schema in which some columns are something else.

        Args:
            domains: By column: ``"binary"``, ``"categorical"``, ``"count"`` or ``"real"``; or the
                list of its labels, in the order of the states. A column of whole numbers that
                becomes categorical gets the numbers that occur as labels.

        Raises:
            OptionError: If there is no such column, or it cannot be that.
        """
        variables = list(self.variables)
        for name, wish in domains.items():
            place = self._place(name)
            variables[place] = changed(variables[place], wish)
        return Schema(tuple(variables))

    def encode(self, frame: Any, *, partial: bool = False) -> NDArray[np.float64]:
        """The rows that a model sees.

        Args:
            frame: A data frame, whose columns may come in any order; or a dict, or a list of dicts,
                from names to values.
            partial: Whether a column that is not there is missing in every row.

        Returns:
            Shape ``(rows, columns)``: numbers of states, counts and real numbers; NaN where a
            value is missing.

        Raises:
            DataError: If a column is absent or unknown, or a value does not fit its column.
        """
        rows = as_table(frame, self.names, partial=partial, codes=self.codes)
        return rows.astype(np.float64)

    def decode(self, rows: object, *, library: str | None = None, index: Any = None) -> Any:
        """The data frame that rows of a model stand for, with labels.

        Args:
            rows: Shape ``(rows, columns)``, an array or a tensor; NaN is a missing value.
            library: ``"pandas"``, ``"polars"`` or ``"pyarrow"``; by default that of the schema.
            index: The index of the result, for pandas.

        Raises:
            OptionError: If no library is known, or narwhals is not installed.
            DataError: If the rows do not fit the columns.
        """
        chosen = library or self.library
        if chosen is None:
            raise OptionError.of(
                "PC805",
                "this schema was not inferred from a data frame, so its library is not known",
                help="name one: schema.decode(rows, library='pandas')",
            )
        return build_frame(self.lists(rows), chosen, index)

    def lists(self, rows: object) -> dict[str, list[Label | None]]:
        """Like `decode`, as lists by column; ``None`` where a value is missing."""
        table = as_numbers(rows)
        if str(getattr(rows, "dtype", "")).endswith("float32"):
            table = table.astype(np.float32)
        if table.ndim != 2 or table.shape[1] != len(self):
            raise wrong_shape(table.shape, self.names)
        return {
            name: decoded(variable, values)
            for name, variable, values in zip(self.names, self.variables, table.T, strict=True)
        }

    def ordered_like(self, variables: Sequence[Variable]) -> Schema:
        """The schema with its columns in the order of a circuit's variables.

        Raises:
            OptionError: If they are not the schema's variables.
        """
        mine = {variable.name: variable for variable in self.variables}
        for variable in variables:
            own = mine.get(variable.name)
            if own is None or str(own) != str(replace(variable, edges=())):
                what = "does not have it" if own is None else f"says that it is {own}"
                raise OptionError.of(
                    "PC806",
                    f"the circuit has {variable.name!r}, {variable}, but the schema {what}",
                    help="build the circuit from the schema's variables: schema.variables",
                )
        if len(mine) > len(variables):
            strange = next(name for name in mine if name not in {v.name for v in variables})
            raise OptionError.of(
                "PC806",
                f"the schema has the variable {strange!r}, but the circuit does not",
                help="infer the schema from the columns of the circuit alone",
            )
        sources = [source_of(mine[variable.name]) for variable in variables]
        pairs = zip(variables, sources, strict=True)
        return Schema(tuple(replace(variable, source=source) for variable, source in pairs))

    def as_dict(self) -> dict[str, Any]:
        """The schema as values that JSON can hold; `from_dict` reads it."""
        return {"columns": [as_values(variable) for variable in self.variables]}

    @classmethod
    def from_dict(cls, content: object) -> Schema:
        """The schema that `as_dict` wrote.

        Raises:
            DataError: If it is something else.
        """
        try:
            columns = tuple(map(from_values, cast(dict[str, Any], content)["columns"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError.of(
                "PC807",
                f"this is not a schema: {shown(content)}",
                notes=(f"cause: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}",),
                help="give what schema.as_dict() returned",
            ) from None
        return cls(columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self._facts == other._facts

    def __hash__(self) -> int:
        return hash(self._facts)

    @cached_property
    def _facts(self) -> str:
        """What makes schemas equal: all but reasons and libraries."""
        facts = [{**as_values(v), "library": None, "reason": ""} for v in self.variables]
        return json.dumps(facts)

    def __repr__(self) -> str:
        return f"<{headline(self.variables)}>"

    def __str__(self) -> str:
        return as_text(headline(self.variables), [listed(self.variables)]).rstrip()

    def _repr_html_(self) -> str:
        return as_html(headline(self.variables), [listed(self.variables)])

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise OptionError.of(
                "PC809",
                f"the schema has no column {name!r}",
                help=closest(name, self.names).removeprefix("declare it first, or "),
            )
        return self.names.index(name)


def _text(label: object) -> str:
    if isinstance(label, str):
        return label
    raise DataError.of(
        "PC802",
        f"the data frame has a column {shown(label)}, whose name is not text",
        help="name the columns: frame.columns = [...]",
    )


def _declared(column: Any) -> list[Any]:
    """The categories that a column's type declares, in order; empty for most types."""
    found: Any = getattr(getattr(column, "dtype", None), "categories", None)
    return list(found) if hasattr(found, "__len__") else []


def _states(labels: Sequence[Label]) -> States:
    return {label: state for state, label in enumerate(labels)}
