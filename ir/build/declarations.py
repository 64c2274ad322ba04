"""Weights that a `Builder` has declared so far, and checks of its arguments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir.arrays import Int
from pccompiler.ir.locations import caller
from pccompiler.ir.names import ALPHABET, is_name
from pccompiler.ir.node_table import WeightTable
from pccompiler.ir.sizes import CODE, MOST_ENTRIES, MOST_UNITS, check_entries, wide

Float = NDArray[np.float64]
EMPTY = np.zeros(0, np.int64)


class Weights:
    """The weights declared so far, numbered by first use."""

    def __init__(self) -> None:
        self.rows: list[Int] = []
        self.columns: list[Int] = []
        self.size = 0
        self.by_name: dict[str, tuple[int, int, int]] = {}
        self.values: dict[int, Float] = {}

    def add(self, rows: Int, columns: Int) -> Int:
        """Declare weights of these shapes; returns their ids."""
        sizes = rows.astype(np.float64) * columns
        for place in np.flatnonzero(sizes > MOST_ENTRIES)[:1].tolist():
            check_entries(int(rows[place]), int(columns[place]), "a node", caller())
        self.rows.append(np.asarray(rows, np.int64))
        self.columns.append(np.asarray(columns, np.int64))
        self.size += len(rows)
        return np.arange(self.size - len(rows), self.size)

    def named(
        self, name: str | None, rows: int, columns: int, values: Float | None, location: str
    ) -> Int:
        """The weight called ``name``, or a new one."""
        if name is not None and name in self.by_name:
            known, *shape = self.by_name[name]
            if tuple(shape) != (rows, columns):
                raise _shape_error(name, (rows, columns), (shape[0], shape[1]), location)
            return np.array([known])
        if values is not None and values.shape != (rows, columns):
            raise _shape_error(name or "(unnamed)", values.shape, (rows, columns), location)
        (weight,) = self.add(np.array([rows]), np.array([columns])).tolist()
        if name is not None:
            check_name(name, "weight")
            self.by_name[name] = (weight, rows, columns)
        if values is not None:
            self.values[weight] = values.copy()
        return np.array([weight])

    def table(self) -> WeightTable:
        """All weights so far."""
        names = {weight: name for name, (weight, _, _) in self.by_name.items()}
        return WeightTable(
            np.concatenate([EMPTY, *self.rows]),
            np.concatenate([EMPTY, *self.columns]),
            names,
            dict(self.values),
        )


def _shape_error(
    name: str, found: tuple[int, ...], wanted: tuple[int, int], location: str
) -> CircuitError:
    return CircuitError.of(
        "PC106",
        f"weight {name} has shape {_by(found)}, but {_by(wanted)} is needed",
        location=location,
        help="give one row per unit, and one column per input of the sum",
    )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def check_units(units: int) -> None:
    """Refuse a node without units, or with too many."""
    if units < 1:
        raise OptionError.of(
            "PC302",
            f"a node cannot have {units} units",
            location=caller(),
            help="give it at least 1 unit",
        )
    if units > MOST_UNITS:
        raise CircuitError.of(
            CODE, f"a node {wide(units)}", location=caller(), help="give it fewer units"
        )


def check_name(name: str, what: str) -> None:
    """Refuse a name that the text form cannot hold."""
    if not is_name(name) or name.isdigit():
        raise OptionError.of(
            "PC305",
            f"{what} name {name!r} cannot be written in the text form",
            location=caller(),
            help=f"use {ALPHABET}, but not only digits",
        )
