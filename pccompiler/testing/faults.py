"""Circuits with one planted fault, for tests of the check."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pccompiler.ir import Circuit, Family, binary
from pccompiler.testing.random_circuits import DISCRETE, Choices, Maker, Scope, pick_variables


class Broken(NamedTuple):
    """A circuit with one fault, the code of the broken rule, and the id of the culprit."""

    circuit: Circuit
    code: str
    culprit: int


def make_broken(choices: Choices) -> Broken:
    """A valid circuit with exactly one fault planted in it."""
    names = [binary("a"), binary("b"), *pick_variables(choices, 3)]
    maker = Maker(choices, names, DISCRETE)
    code = maker.choose(sorted(_INNER | _OUTER))
    if code in _OUTER:
        root, culprit = _OUTER[code](maker)
        return Broken(maker.builder.build(root), code, culprit)
    *below, last = maker.scope
    top, culprit = _INNER[code](maker, tuple(below))
    beside = maker.leaf(last, int(maker.builder.units_of([top])[0]))
    root = maker.sum([maker.builder.product([top, beside])], 1)
    return Broken(maker.builder.build(root), code, culprit)


def _not_smooth(maker: Maker, scope: Scope) -> tuple[int, int]:
    lacking = maker.choose(scope)
    part = maker.region(tuple(v for v in scope if v != lacking), 2)
    operands = maker.choices.permute([maker.region(scope, 2), part])
    culprit = maker.mixture(operands, 2) if maker.coin() else maker.sum(operands, 2)
    return culprit, culprit


def _not_decomposable(maker: Maker, scope: Scope) -> tuple[int, int]:
    twice = maker.leaf(maker.choose(scope), 2)
    operands = maker.choices.permute([maker.region(scope, 2), twice])
    join = maker.builder.kronecker if maker.coin() else maker.builder.product
    culprit = join(operands)
    return culprit, culprit


def _of_two_widths(maker: Maker, scope: Scope) -> tuple[int, int]:
    if maker.coin():
        good = maker.region(scope, 2)
        culprit = maker.mixture([good, maker.sum([good], 3)], 2)
    else:
        culprit = maker.builder.product([maker.region(scope[:1], 2), maker.region(scope[1:], 3)])
    return culprit, culprit


def _dead(maker: Maker, scope: Scope) -> tuple[int, int]:
    good = maker.region(scope, 2)
    return good, maker.sum([good], maker.pick(1, 3))


def _weight_of_two_shapes(maker: Maker, scope: Scope) -> tuple[int, int]:
    wide = maker.builder.sum([maker.region(scope, 2)], 3)
    weight = maker.builder.weight_of([wide])
    culprit = int(maker.builder.sums([[wide]], 2, weights=weight)[0])
    return culprit, culprit


def _wrong_family(maker: Maker, scope: Scope) -> tuple[int, int]:
    culprit = int(maker.builder.inputs(scope[:1], Family.GAUSSIAN, 2)[0])
    return maker.builder.product([culprit, maker.region(scope[1:], 2)]), culprit


def _wide_root(maker: Maker) -> tuple[int, int]:
    root = maker.region(maker.scope, maker.pick(2, 3))
    return root, root


def _missing_variable(maker: Maker) -> tuple[int, int]:
    root = maker.region(maker.scope[1:], 1)
    return root, root


_INNER: dict[str, Callable[[Maker, Scope], tuple[int, int]]] = {
    "PC101": _not_smooth,
    "PC102": _not_decomposable,
    "PC103": _of_two_widths,
    "PC105": _dead,
    "PC106": _weight_of_two_shapes,
    "PC107": _wrong_family,
}
"""Faults below the root; they return the node to continue with, and the culprit."""
_OUTER: dict[str, Callable[[Maker], tuple[int, int]]] = {
    "PC104": _wide_root,
    "PC109": _missing_variable,
}
"""Faults of the root; they return the root and the culprit."""
