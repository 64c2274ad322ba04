"""Structures by name: three of ours, and those that packages declare in ``pccompiler.structures``.

A structure is a function of the variables that returns a circuit. It is given those of the options
``units``, ``replicas``, ``depth`` and ``seed`` that it has parameters for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature

from pccompiler.errors import OptionError, closest
from pccompiler.ir import Circuit, Variable
from pccompiler.plugins import Registry, functions
from pccompiler.structures.hmm import hmm
from pccompiler.structures.mixture import naive_bayes_mixture
from pccompiler.structures.rat_spn import rat_spn

Structure = Callable[..., Circuit]


def _rat_spn(
    variables: Sequence[Variable], units: int, replicas: int, depth: int | None, seed: int
) -> Circuit:
    return rat_spn(variables, replicas, units, seed, depth=depth)


def _hmm(variables: Sequence[Variable], units: int) -> Circuit:
    return hmm(variables, units)


def _mixture(variables: Sequence[Variable], units: int) -> Circuit:
    return naive_bayes_mixture(variables, units)


def _missing(name: str) -> OptionError:
    help = closest(name, STRUCTURES)
    return OptionError.of("PC793", f"there is no structure {name!r}", help=help)


STRUCTURES = Registry[Structure](
    "pccompiler.structures",
    {"rat-spn": _rat_spn, "hmm": _hmm, "mixture": _mixture},
    functions("a function from variables to a Circuit"),
    _missing,
)


def make(name: str, variables: Sequence[Variable], **options: int | None) -> Circuit:
    """The structure ``name`` over ``variables``; options that it does not know are left out.

    Raises:
        OptionError: If there is no such structure.
        PluginError: If that of another package cannot be loaded.
    """
    structure = STRUCTURES.find(name)
    takes = signature(structure).parameters
    return structure(variables, **{k: v for k, v in options.items() if k in takes})
