"""From circuits to models: compile, train many, save, load and export."""

from pccompiler.api.compiling import (
    Dtype,
    Numerics,
    compile,
    export_onnx,
    load,
    precision_of,
    prepare,
    save,
)
from pccompiler.api.many import Many, fit_many

__all__ = [
    "Dtype",
    "Many",
    "Numerics",
    "compile",
    "export_onnx",
    "fit_many",
    "load",
    "precision_of",
    "prepare",
    "save",
]
