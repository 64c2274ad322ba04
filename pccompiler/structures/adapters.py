"""Our structures as functions of variables, data and options of plain types, for `make`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from numpy.typing import ArrayLike

from pccompiler import structures
from pccompiler.ir import Circuit, Variable

Variables = Sequence[Variable]
Products = Literal["elementwise", "kronecker"]


def rat_spn(
    variables: Variables,
    *,
    units: int = 5,
    replicas: int = 50,
    depth: int | None = None,
    leaf: str = "auto",
    seed: int = 0,
) -> Circuit:
    """The random trees of the HyperSPN paper."""
    return structures.rat_spn(variables, replicas, units, seed, depth=depth, leaf=leaf)


def random_tree(
    variables: Variables,
    *,
    units: int = 5,
    replicas: int = 1,
    depth: int | None = None,
    arity: int = 2,
    split: Literal["balanced", "random"] = "balanced",
    product: Products = "elementwise",
    leaf: str = "auto",
    seed: int = 0,
) -> Circuit:
    """Random trees with depth, arity and kinds of splits and products."""
    return structures.random_tree(
        variables,
        units=units,
        replicas=replicas,
        depth=depth,
        arity=arity,
        split=split,
        product=product,
        leaf=leaf,
        seed=seed,
    )


def hmm(
    variables: Variables,
    *,
    units: int = 5,
    homogeneous: bool = True,
    rank: int | None = None,
    blocks: int | None = None,
    leaf: str = "auto",
) -> Circuit:
    """A hidden Markov model with a state for each unit, along the order of the columns."""
    return structures.hmm(
        variables, units, homogeneous=homogeneous, rank=rank, blocks=blocks, leaf=leaf
    )


def mixture(variables: Variables, *, units: int = 5, leaf: str = "auto") -> Circuit:
    """A mixture of factorized distributions."""
    return structures.naive_bayes_mixture(variables, units, leaf=leaf)


def chow_liu(variables: Variables, data: ArrayLike, *, pseudocount: float = 1.0) -> Circuit:
    """The Chow-Liu tree of discrete data, with its values."""
    return structures.chow_liu(data, variables, pseudocount=pseudocount)


def hclt(
    variables: Variables,
    data: ArrayLike,
    *,
    units: int = 5,
    pseudocount: float = 1.0,
    leaf: str = "auto",
) -> Circuit:
    """A hidden Chow-Liu tree: latent variables in the shape of the data's tree."""
    return structures.hclt(data, units, variables=variables, pseudocount=pseudocount, leaf=leaf)


def learn_spn(
    variables: Variables,
    data: ArrayLike,
    *,
    min_rows: int = 50,
    significance: float = 1e-3,
    pseudocount: float = 1.0,
    seed: int = 0,
) -> Circuit:
    """Splits of rows and columns learned from discrete data, with their values."""
    return structures.learn_spn(
        data,
        variables,
        min_rows=min_rows,
        significance=significance,
        pseudocount=pseudocount,
        seed=seed,
    )


def poon_domingos(
    variables: Variables,
    *,
    height: int,
    width: int,
    units: int = 5,
    delta: int = 1,
    channels: int = 1,
    product: Products = "elementwise",
    leaf: str = "auto",
) -> Circuit:
    """All rectangles of an image, cut in two in every way."""
    return structures.poon_domingos(
        height,
        width,
        units,
        delta=delta,
        channels=channels,
        variables=variables,
        product=product,
        leaf=leaf,
    )


def quad_tree(
    variables: Variables,
    *,
    height: int,
    width: int,
    units: int = 5,
    parts: int = 4,
    channels: int = 1,
    leaf: str = "auto",
) -> Circuit:
    """An image cut recursively into quarters, or with parts=2 into halves."""
    return structures.quad_tree(
        height, width, units, parts=parts, channels=channels, variables=variables, leaf=leaf
    )


def quad_graph(
    variables: Variables,
    *,
    height: int,
    width: int,
    units: int = 5,
    channels: int = 1,
    leaf: str = "auto",
) -> Circuit:
    """An image cut both ways, with shared quarters."""
    return structures.quad_graph(
        height, width, units, channels=channels, variables=variables, leaf=leaf
    )
