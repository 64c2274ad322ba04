"""The ONNX classes of generators, by keyword."""

from __future__ import annotations

from typing import Any

from pccompiler.onnx_backend.generators.base import OnnxGenerator, missing
from pccompiler.onnx_backend.generators.direct import OnnxDirect
from pccompiler.onnx_backend.generators.hypernetwork import OnnxHypernetwork
from pccompiler.plugins import Registry, subclasses

OURS: dict[str, type[OnnxGenerator[Any]]] = {
    "direct": OnnxDirect,
    "hypernetwork": OnnxHypernetwork,
}
GENERATORS = Registry(
    "pccompiler.onnx_generators",
    OURS,
    subclasses(OnnxGenerator, "a subclass of OnnxGenerator"),
    missing,
)
"""Keyword to class: ours, and those that other packages declare."""
class_of = GENERATORS.find
"""The ONNX side of a generator; raises `ExportError` PC797 if there is none."""
