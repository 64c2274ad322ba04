"""pccompiler: declare a probabilistic circuit, compile it, train it, export it.

The names below load on first use: ``import pccompiler`` is quick and needs neither torch nor onnx.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pccompiler.version import __version__

if TYPE_CHECKING:
    from pccompiler import datasets, errors, ir, limits, passes, plot, structures
    from pccompiler.api import Many, compile, export_onnx, fit_many, load, save
    from pccompiler.errors import PCCompilerError
    from pccompiler.explanation.explain import explain
    from pccompiler.ir import Circuit, Direct, Hypernetwork, Sectors
    from pccompiler.onnx_backend import OnnxModel
    from pccompiler.plot.curves import plot_history
    from pccompiler.structures.hmm import hmm  # in a cycle mypy takes the name for the module
    from pccompiler.structures.mixture import naive_bayes_mixture
    from pccompiler.structures.rat_spn import rat_spn
    from pccompiler.torch_backend import CompiledCircuit, History, fit, fit_em, initialise
    from pccompiler.torch_backend.conditional import Blockwise, ConditionalCircuit, External

_HOME = {
    "Blockwise": "pccompiler.torch_backend.conditional",
    "Circuit": "pccompiler.ir",
    "CompiledCircuit": "pccompiler.torch_backend",
    "ConditionalCircuit": "pccompiler.torch_backend.conditional",
    "Direct": "pccompiler.ir",
    "External": "pccompiler.torch_backend.conditional",
    "History": "pccompiler.torch_backend",
    "Hypernetwork": "pccompiler.ir",
    "Many": "pccompiler.api",
    "OnnxModel": "pccompiler.onnx_backend",
    "PCCompilerError": "pccompiler.errors",
    "Sectors": "pccompiler.ir",
    "compile": "pccompiler.api",
    "explain": "pccompiler.explanation.explain",
    "export_onnx": "pccompiler.api",
    "fit": "pccompiler.torch_backend",
    "fit_em": "pccompiler.torch_backend",
    "fit_many": "pccompiler.api",
    "hmm": "pccompiler.structures",
    "initialise": "pccompiler.torch_backend",
    "load": "pccompiler.api",
    "naive_bayes_mixture": "pccompiler.structures",
    "plot_history": "pccompiler.plot.curves",
    "rat_spn": "pccompiler.structures",
    "save": "pccompiler.api",
}
_MODULES = ("datasets", "errors", "ir", "limits", "passes", "plot", "structures")

__all__ = [
    "Blockwise",
    "Circuit",
    "CompiledCircuit",
    "ConditionalCircuit",
    "Direct",
    "External",
    "History",
    "Hypernetwork",
    "Many",
    "OnnxModel",
    "PCCompilerError",
    "Sectors",
    "__version__",
    "compile",
    "datasets",
    "errors",
    "explain",
    "export_onnx",
    "fit",
    "fit_em",
    "fit_many",
    "hmm",
    "initialise",
    "ir",
    "limits",
    "load",
    "naive_bayes_mixture",
    "passes",
    "plot",
    "plot_history",
    "rat_spn",
    "save",
    "structures",
]


def __getattr__(name: str) -> Any:  # any public object, hence Any
    if name in _MODULES:
        return import_module(f"pccompiler.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'pccompiler' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
