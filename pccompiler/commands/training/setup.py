"""The setup of ``pccompiler train``: recipes and hypernetworks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pccompiler import recipes
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Hypernetwork

if TYPE_CHECKING:
    from pccompiler.torch_backend import CompiledCircuit


def recipe(data: str, hypernetwork: bool) -> recipes.Recipe:
    """The paper's recipe for a named set; for a file, that of the Twenty Datasets."""
    try:
        return recipes.paper(data, hypernetwork=hypernetwork)
    except DataError:
        return recipes.paper("nltcs", hypernetwork=hypernetwork)


def check_apart(chosen: str, **others: object) -> None:
    """Refuse options that something chosen leaves no room for.

    Raises:
        OptionError: If one of them is given.
    """
    for name, value in others.items():
        if value is not None:
            raise OptionError.of(
                "PC884", f"--{name} has no effect with {chosen}", help="leave one of them out"
            )


def hypernetwork(
    default: Hypernetwork | None, embedding: int | None, hidden: str | None
) -> Hypernetwork | None:
    """The recipe's hypernetwork with the command line's sizes."""
    if default is None:
        return None
    embedding = default.embedding if embedding is None else embedding
    if hidden is None:
        return replace(default, embedding=embedding)
    if not all(width.isdecimal() and len(width) < 10 for width in hidden.split("x")):
        raise OptionError.of(
            "PC302",
            f"--hidden is {hidden[:40]!r}",
            help="write widths separated by x, such as 20x20",
        )
    widths = tuple(int(width) for width in hidden.split("x"))
    return replace(default, embedding=embedding, hidden=widths)


def described(model: CompiledCircuit) -> str:
    """The model that will be trained, after the columns of its data if these have names."""
    columns = f"{model.schema}\n\n" if model.schema is not None else ""
    return f"{columns}{model.circuit}\n{model.num_parameters:,} parameters on {model.device}"
