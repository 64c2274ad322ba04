"""The ONNX classes of generators, by keyword."""

from __future__ import annotations

from typing import Any, TypeGuard

from pccompiler.onnx_backend.generators.base import OnnxGenerator, missing
from pccompiler.onnx_backend.generators.direct import OnnxDirect
from pccompiler.onnx_backend.generators.hypernetwork import OnnxHypernetwork
from pccompiler.plugins import Registry


def _is_generator(thing: object) -> TypeGuard[type[OnnxGenerator[Any]]]:
    return isinstance(thing, type) and issubclass(thing, OnnxGenerator)


_OURS: dict[str, type[OnnxGenerator[Any]]] = {
    "direct": OnnxDirect,
    "hypernetwork": OnnxHypernetwork,
}
GENERATORS = Registry(
    "pccompiler.onnx_generators", _OURS, _is_generator, "a subclass of OnnxGenerator"
)
"""Keyword to class: ours, and those that other packages declare."""


def class_of(keyword: str) -> type[OnnxGenerator[Any]]:
    """The ONNX side of a generator.

    Raises:
        ExportError: If there is none: PC797.
    """
    if keyword not in GENERATORS:
        raise missing(keyword)
    return GENERATORS[keyword]
