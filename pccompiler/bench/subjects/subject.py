"""What a timed circuit is called, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Hypernetwork
from pccompiler.ir.variables import Variable, binary, categorical

Weights = Literal["hypernetwork", "direct"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A circuit to time.

    Attributes:
        structure: The structure that builds it, a key of `STRUCTURES`.
        n: Number of variables; a square for an HCLT or a quad tree, 0 for a file.
        units: Width of sums, or states of latents.
        replicas: Number of random trees of a RAT-SPN.
        values: States of each variable.
        inner: Rank or blocks of structured transitions.
        edges: Number of edges of a layered scalar circuit, about.
        passes: Passes over the circuit before it is compiled, such as ``"share,merge,pack"``.
        weights: How sum weights are produced.
        file: The path, for ``"file"``.
    """

    structure: str
    n: int
    units: int = 1
    replicas: int = 1
    values: int = 2
    inner: int = 0
    edges: int = 0
    passes: str = ""
    weights: Weights = "direct"
    file: Path | None = None

    @property
    def hypernetwork(self) -> Hypernetwork | None:
        """The generator of the weights."""
        return Hypernetwork() if self.weights == "hypernetwork" else None

    @property
    def variables(self) -> tuple[Variable, ...]:
        """``n`` variables of ``values`` states."""
        names = [f"x{i}" for i in range(self.n)]
        if self.values == 2:
            return tuple(binary(name) for name in names)
        return tuple(categorical(name, self.values) for name in names)


@dataclass(frozen=True, eq=False)
class Material:
    """The circuit and data of a subject.

    Attributes:
        circuit: Not compiled yet.
        data: Complete rows, shape (rows, variables); ``None``: to be sampled from the circuit.
        files: Texts of files that peers need to build it, by the option that names them: ``tree``,
            the pairs of variables of an HCLT as JSON; ``network``, a Bayesian network as BIF.
    """

    circuit: Circuit
    data: NDArray[np.float64] | None
    files: Mapping[str, str] = field(default_factory=dict[str, str])
