"""From circuits to models: compile, train many, save, load and export."""

from pccompiler.api.compiling import compile, export_onnx, load, save
from pccompiler.api.many import Many, fit_many
from pccompiler.api.preparing import Dtype, Numerics, precision_of, prepare

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
