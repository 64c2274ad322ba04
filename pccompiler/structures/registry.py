"""Structures by name: ours, and those that packages declare in ``pccompiler.structures``.

A structure is a function of the variables that returns a circuit. Its further parameters are its
options; one called ``data`` is given the rows to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import get_type_hints

from numpy.typing import ArrayLike

from pccompiler.errors import OptionError, closest
from pccompiler.ir import Circuit, Variable
from pccompiler.options import item_in, options_in, unknown_option
from pccompiler.plugins import Registry, functions
from pccompiler.structures import adapters

Structure = Callable[..., Circuit]
USUAL: Mapping[str, int | None] = {"units": 5, "replicas": 50, "depth": None}
"""Values of options that a structure has no default for."""


def _missing(name: str) -> OptionError:
    help = closest(name, STRUCTURES)
    return OptionError.of("PC793", f"there is no structure {name!r}", help=help)


STRUCTURES = Registry[Structure](
    "pccompiler.structures",
    {
        "rat-spn": adapters.rat_spn,
        "random-tree": adapters.random_tree,
        "hmm": adapters.hmm,
        "mixture": adapters.mixture,
        "chow-liu": adapters.chow_liu,
        "hclt": adapters.hclt,
        "learn-spn": adapters.learn_spn,
        "poon-domingos": adapters.poon_domingos,
        "quad-tree": adapters.quad_tree,
        "quad-graph": adapters.quad_graph,
    },
    functions("a function from variables to a Circuit"),
    _missing,
)


def make(
    item: str,
    variables: Sequence[Variable],
    data: ArrayLike | None = None,
    *,
    seed: int = 0,
    **options: object,
) -> Circuit:
    """The structure ``item`` over ``variables``.

    Args:
        item: A name, or a name with options in braces, as in ``hmm{units=8,rank=2}``.
        variables: One for each column.
        data: The rows that some structures learn from, shape ``(rows, variables)``.
        seed: For structures that draw random numbers.
        **options: Further options.

    Raises:
        OptionError: If there is no such structure or option, one is given twice or does not fit,
            or one that is needed is missing.
        PluginError: If the structure of another package cannot be loaded.
    """
    name, text = _split(item)
    structure = STRUCTURES.find(name)
    takes, owner = options_of(structure), f"structure {name!r}"
    chosen = options_in(text, owner, _types(structure)) if text else {}
    for option in options:
        if option not in takes:
            raise unknown_option(owner, option, takes)
        if option in chosen:
            raise OptionError.of(
                "PC322", f"option {option!r} of {owner} is given twice", help="remove one"
            )
    chosen = {**_defaults(takes, seed), **chosen, **options}
    _check_complete(name, takes, chosen)
    if "data" in signature(structure).parameters:
        chosen["data"] = _rows(owner, data)
    return structure(variables, **chosen)


def _split(item: str) -> tuple[str, str]:
    found = item_in(item)
    if found is None:
        raise OptionError.of(
            "PC320", f"expected a structure, found {item!r}", help="write 'hmm{units=8,rank=2}'"
        )
    return found


def _defaults(takes: Mapping[str, Parameter], seed: int) -> dict[str, object]:
    """The seed, and values for options without a default."""
    usual = {o: USUAL[o] for o, p in takes.items() if o in USUAL and p.default is Parameter.empty}
    return {**usual, **({"seed": seed} if "seed" in takes else {})}


def options_of(structure: Structure) -> dict[str, Parameter]:
    """The options of a structure by name."""
    parameters = list(signature(structure).parameters.values())[1:]
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {p.name: p for p in parameters if p.kind in named and p.name != "data"}


def _types(structure: Structure) -> dict[str, object]:
    """The type of each option; whole numbers are the default, as most options are counts."""
    hints = get_type_hints(structure)
    return {option: hints.get(option, int) for option in options_of(structure)}


def _check_complete(
    name: str, takes: Mapping[str, Parameter], chosen: Mapping[str, object]
) -> None:
    """Refuse a call without an option that has no default."""
    missing = [o for o, p in takes.items() if p.default is Parameter.empty and o not in chosen]
    if missing:
        example = ",".join(f"{option}=..." for option in missing)
        raise OptionError.of(
            "PC883",
            f"structure {name!r} needs {' and '.join(missing)}",
            help=f"give its options in braces: '{name}{{{example}}}'",
        )


def _rows(owner: str, data: ArrayLike | None) -> ArrayLike:
    if data is None:
        raise OptionError.of(
            "PC883", f"{owner} is learned from data, and there are none", help="give it rows"
        )
    return data
