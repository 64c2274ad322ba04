"""Builds data frames and series of a library that is installed, through narwhals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeAlias

from numpy.typing import NDArray

from pccompiler.errors import OptionError

Values: TypeAlias = Sequence[Any] | NDArray[Any]
LIBRARIES = ("pandas", "polars", "pyarrow", "modin", "cudf")


def library_of(frame: object) -> str | None:
    """The library that a data frame is from; ``None`` if it is not one that we can build."""
    name = type(frame).__module__.partition(".")[0]
    return name if name in LIBRARIES else None


def build_frame(columns: Mapping[str, Values], library: str, index: Any = None) -> Any:
    """A data frame of ``library``.

    Args:
        columns: Values by name; ``None`` where missing.
        library: One of `LIBRARIES`.
        index: That of the rows, where the library has one.
    """
    narwhals = _narwhals(library)
    native = narwhals.from_dict(columns, backend=library).to_native()
    return native if index is None else native.set_axis(index, axis=0)


def build_series(name: str, values: Values, library: str, index: Any = None) -> Any:
    """A series of ``library`` (of pyarrow, a chunked array, which has no name)."""
    narwhals = _narwhals(library)
    native = narwhals.new_series(name, values, backend=library).to_native()
    return native if index is None else native.set_axis(index)


def _narwhals(library: str) -> ModuleType:
    """The module narwhals, if it and the library are installed."""
    for name in ("narwhals", library):
        if find_spec(name) is None:
            raise OptionError.of(
                "PC800",
                f"answers cannot be given as {library} frames, since {name} is not installed",
                help="pip install 'pccompiler[frames]' "
                f"{library}; or give and take arrays, see schema.encode",
            )
    return import_module("narwhals")
