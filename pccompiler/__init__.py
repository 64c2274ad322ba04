"""pccompiler: declare a probabilistic circuit, compile it, train it, export it.

The names below load on first use: ``import pccompiler`` is quick and needs neither torch nor onnx.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pccompiler.version import __version__

if TYPE_CHECKING:
    from pccompiler import (
        callbacks,
        datasets,
        errors,
        imports,
        ir,
        limits,
        losses,
        passes,
        plot,
        structures,
    )
    from pccompiler.api import (
        Many,
        compile,
        export_onnx,
        fit_many,
        from_hub,
        load,
        push_to_hub,
        save,
    )
    from pccompiler.callbacks import Callback
    from pccompiler.errors import PCCompilerError
    from pccompiler.explanation.explain import explain
    from pccompiler.frames import Schema
    from pccompiler.imports.read import read
    from pccompiler.ir import (
        Builder,
        Circuit,
        Direct,
        Hypernetwork,
        Sectors,
        Variable,
        binary,
        categorical,
        count,
        parse,
        real,
        to_text,
    )
    from pccompiler.ir.expressions.variables import variables
    from pccompiler.onnx_backend import OnnxModel
    from pccompiler.passes import multiply
    from pccompiler.plot.curves import plot_history
    from pccompiler.structures.chow_liu import chow_liu, chow_liu_tree
    from pccompiler.structures.hclt import hclt
    from pccompiler.structures.hmm import hmm  # in a cycle mypy takes the name for the module
    from pccompiler.structures.learn_spn import learn_spn
    from pccompiler.structures.mixture import naive_bayes_mixture
    from pccompiler.structures.mixture_of import mixture_of
    from pccompiler.structures.poon_domingos import poon_domingos
    from pccompiler.structures.quad import quad_graph, quad_tree
    from pccompiler.structures.random_tree import random_tree
    from pccompiler.structures.rat_spn import rat_spn
    from pccompiler.torch_backend import CompiledCircuit, History, fit, fit_em, initialise
    from pccompiler.torch_backend.conditional import Blockwise, ConditionalCircuit, External

_HOME = {
    "Blockwise": "pccompiler.torch_backend.conditional",
    "Builder": "pccompiler.ir",
    "Callback": "pccompiler.callbacks",
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
    "Schema": "pccompiler.frames",
    "Sectors": "pccompiler.ir",
    "Variable": "pccompiler.ir",
    "binary": "pccompiler.ir",
    "categorical": "pccompiler.ir",
    "chow_liu": "pccompiler.structures",
    "chow_liu_tree": "pccompiler.structures",
    "compile": "pccompiler.api",
    "count": "pccompiler.ir",
    "explain": "pccompiler.explanation.explain",
    "export_onnx": "pccompiler.api",
    "fit": "pccompiler.torch_backend",
    "fit_em": "pccompiler.torch_backend",
    "fit_many": "pccompiler.api",
    "from_hub": "pccompiler.api",
    "hclt": "pccompiler.structures",
    "hmm": "pccompiler.structures",
    "initialise": "pccompiler.torch_backend",
    "learn_spn": "pccompiler.structures",
    "load": "pccompiler.api",
    "mixture_of": "pccompiler.structures",
    "multiply": "pccompiler.passes",
    "naive_bayes_mixture": "pccompiler.structures",
    "parse": "pccompiler.ir",
    "plot_history": "pccompiler.plot.curves",
    "poon_domingos": "pccompiler.structures",
    "push_to_hub": "pccompiler.api",
    "quad_graph": "pccompiler.structures",
    "quad_tree": "pccompiler.structures",
    "random_tree": "pccompiler.structures",
    "rat_spn": "pccompiler.structures",
    "read": "pccompiler.imports",
    "real": "pccompiler.ir",
    "save": "pccompiler.api",
    "to_text": "pccompiler.ir",
    "variables": "pccompiler.ir.expressions.variables",
}
_MODULES = (
    "callbacks",
    "datasets",
    "errors",
    "imports",
    "ir",
    "limits",
    "losses",
    "passes",
    "plot",
    "structures",
)

__all__ = [
    "Blockwise",
    "Builder",
    "Callback",
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
    "Schema",
    "Sectors",
    "Variable",
    "__version__",
    "binary",
    "callbacks",
    "categorical",
    "chow_liu",
    "chow_liu_tree",
    "compile",
    "count",
    "datasets",
    "errors",
    "explain",
    "export_onnx",
    "fit",
    "fit_em",
    "fit_many",
    "from_hub",
    "hclt",
    "hmm",
    "imports",
    "initialise",
    "ir",
    "learn_spn",
    "limits",
    "load",
    "losses",
    "mixture_of",
    "multiply",
    "naive_bayes_mixture",
    "parse",
    "passes",
    "plot",
    "plot_history",
    "poon_domingos",
    "push_to_hub",
    "quad_graph",
    "quad_tree",
    "random_tree",
    "rat_spn",
    "read",
    "real",
    "save",
    "structures",
    "to_text",
    "variables",
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
