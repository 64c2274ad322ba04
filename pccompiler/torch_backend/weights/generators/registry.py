"""The torch classes of generators, by keyword."""

from __future__ import annotations

from typing import Any, TypeGuard

from pccompiler.plugins import Registry
from pccompiler.torch_backend.weights.generators.base import TorchGenerator, missing
from pccompiler.torch_backend.weights.generators.direct import TorchDirect
from pccompiler.torch_backend.weights.generators.hypernetwork import TorchHypernetwork


def _is_generator(thing: object) -> TypeGuard[type[TorchGenerator[Any]]]:
    return isinstance(thing, type) and issubclass(thing, TorchGenerator)


_OURS: dict[str, type[TorchGenerator[Any]]] = {
    "direct": TorchDirect,
    "hypernetwork": TorchHypernetwork,
}
GENERATORS = Registry(
    "pccompiler.torch_generators", _OURS, _is_generator, "a subclass of TorchGenerator"
)
"""Keyword to class: ours, and those that other packages declare."""


def class_of(keyword: str) -> type[TorchGenerator[Any]]:
    """The torch side of a generator.

    Raises:
        CircuitError: If there is none: PC797.
    """
    if keyword not in GENERATORS:
        raise missing(keyword)
    return GENERATORS[keyword]
