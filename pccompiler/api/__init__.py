"""From circuits to models: compile, train many, save, load, share and export."""

from pccompiler.api.compiling import compile, export_onnx, load, save
from pccompiler.api.hub import from_hub, push_to_hub
from pccompiler.api.many import Many, fit_many
from pccompiler.api.preparing import Dtype, Numerics, precision_of, prepare

__all__ = [
    "Dtype",
    "Many",
    "Numerics",
    "compile",
    "export_onnx",
    "fit_many",
    "from_hub",
    "load",
    "precision_of",
    "prepare",
    "push_to_hub",
    "save",
]
