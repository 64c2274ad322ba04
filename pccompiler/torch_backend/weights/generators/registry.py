"""The torch classes of generators, by keyword."""

from __future__ import annotations

from typing import Any

from pccompiler.plugins import Registry, subclasses
from pccompiler.torch_backend.weights.generators.base import TorchGenerator, missing
from pccompiler.torch_backend.weights.generators.direct import TorchDirect
from pccompiler.torch_backend.weights.generators.hypernetwork import TorchHypernetwork

OURS: dict[str, type[TorchGenerator[Any]]] = {
    "direct": TorchDirect,
    "hypernetwork": TorchHypernetwork,
}
GENERATORS = Registry(
    "pccompiler.torch_generators",
    OURS,
    subclasses(TorchGenerator, "a subclass of TorchGenerator"),
    missing,
)
"""Keyword to class: ours, and those that other packages declare."""
class_of = GENERATORS.find
"""The torch side of a generator; raises `CircuitError` PC797 if there is none."""
