"""``pccompiler structures``: the structures that ``train`` can make."""

from __future__ import annotations

from inspect import Parameter

from pccompiler.structures.registry import STRUCTURES, options_of


def structure_names(incomplete: str) -> list[str]:
    """The structures whose names start like this, for completion in a shell."""
    return [name for name in STRUCTURES if name.startswith(incomplete)]


def structures() -> None:
    """List the structures that 'train' can make, with their options."""
    from rich.console import Console
    from rich.table import Table

    table = Table("structure", "options", "what it is", box=None, pad_edge=False)
    for name, structure in STRUCTURES.usable().items():
        options = ", ".join(map(_shown, options_of(structure).values()))
        table.add_row(name, options, (structure.__doc__ or "").split("\n", 1)[0])
    Console(soft_wrap=False, highlight=False).print(table)


def _shown(option: Parameter) -> str:
    if option.default is Parameter.empty:
        return option.name
    default = (
        str(option.default).lower() if option.default in (True, False, None) else option.default
    )
    return f"{option.name}={default}"
