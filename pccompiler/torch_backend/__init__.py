"""The torch backend: evaluation and training on CPU and CUDA."""

from pccompiler.torch_backend.em import fit_em
from pccompiler.torch_backend.initialise import initialise
from pccompiler.torch_backend.module import CompiledCircuit
from pccompiler.torch_backend.train import Evaluation, History, fit, mean_log_likelihood

__all__ = [
    "CompiledCircuit",
    "Evaluation",
    "History",
    "fit",
    "fit_em",
    "initialise",
    "mean_log_likelihood",
]
