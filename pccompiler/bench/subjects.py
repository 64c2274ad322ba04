"""The timed circuits, each with rows of data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pccompiler.imports.read import read_circuit
from pccompiler.ir import Circuit, Hypernetwork
from pccompiler.ir.arrays import Int
from pccompiler.ir.variables import Variable, binary, categorical
from pccompiler.structures import chow_liu_tree, hclt, hmm, learn_spn, quad_tree, rat_spn

Structure = Literal["rat-spn", "hclt", "hmm", "quad-tree", "learned", "file"]
Weights = Literal["hypernetwork", "direct"]
ROWS = 2000
"""Rows of data from which steps gather their batches."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A circuit to time.

    Attributes:
        structure: The structure that builds it.
        n: Number of variables; a square for an HCLT or a quad tree, 0 for a file.
        units: Width of sums, or states of latents.
        replicas: Number of random trees of a RAT-SPN.
        values: States of each variable.
        weights: How sum weights are produced.
        file: The path, for ``"file"``.
    """

    structure: Structure
    n: int
    units: int = 1
    replicas: int = 1
    values: int = 2
    weights: Weights = "direct"
    file: Path | None = None

    @property
    def hypernetwork(self) -> Hypernetwork | None:
        """The generator of the weights."""
        return Hypernetwork() if self.weights == "hypernetwork" else None


@dataclass(frozen=True, eq=False)
class Material:
    """The circuit and data of a subject.

    Attributes:
        circuit: Not compiled yet.
        data: Complete rows, shape (rows, variables); ``None``: to be sampled from the circuit.
        tree: The pairs of variables of an HCLT, shape (n - 1, 2).
    """

    circuit: Circuit
    data: NDArray[np.float64] | None
    tree: Int | None = None


def material(subject: Subject) -> Material:
    """Build the circuit, and draw rows of data."""
    if subject.structure == "file":
        return Material(read_circuit(subject.file or Path()), None)
    side = math.isqrt(subject.n)
    if subject.structure == "quad-tree":
        data = fields(ROWS, side, subject.values)
        circuit = quad_tree(side, side, subject.units, parts=2, states=subject.values)
        return Material(circuit, data.astype(np.float64))
    if subject.structure == "hclt":
        data = fields(ROWS, side, subject.values)
        tree = chow_liu_tree(data, _variables(subject), mi_bins=8)
        return Material(hclt(tree, subject.units), data.astype(np.float64), tree.edges)
    if subject.structure == "learned":
        data = _states(subject.n, subject.values)
        return Material(learn_spn(data, _variables(subject), min_rows=20), data.astype(np.float64))
    data = _states(subject.n, subject.values)
    if subject.structure == "hmm":
        circuit = hmm(_variables(subject), subject.units)
    else:
        circuit = rat_spn(subject.n, subject.replicas, subject.units, seed=0)
    return Material(circuit, data.astype(np.float64))


def _variables(subject: Subject) -> tuple[Variable, ...]:
    names = [f"x{i}" for i in range(subject.n)]
    if subject.values == 2:
        return tuple(binary(name) for name in names)
    return tuple(categorical(name, subject.values) for name in names)


def _states(n: int, values: int) -> Int:
    """States that depend on the previous ones: noisy walks along columns, shape (rows, n)."""
    rng = np.random.default_rng(0)
    moved = rng.random((ROWS, n)) < 0.3
    steps = np.where(moved, rng.integers(0, values, (ROWS, n)), 0)
    steps[:, 0] = rng.integers(0, values, ROWS)
    states: Int = steps.cumsum(1) % values
    return states


def fields(rows: int, side: int, values: int) -> Int:
    """Smooth random images with noise, shape (rows, side * side)."""
    rng = np.random.default_rng(0)
    places = np.linspace(0.0, 1.0, side)
    phases = rng.uniform(0.0, 2.0 * np.pi, (rows, 4, 1, 1))
    turns = rng.normal(0.0, 3.0, (rows, 4, 2, 1, 1))
    waves = np.sin(phases + turns[:, :, 0] * places + turns[:, :, 1] * places[:, None])
    image = waves.sum(1).reshape(rows, -1) + 0.2 * rng.normal(size=(rows, side * side))
    ranks = (image - image.min()) / (image.max() - image.min())
    states: Int = np.minimum((ranks * values).astype(np.int64), values - 1)
    return states
