"""The torch backend: evaluation and training on CPU and CUDA."""

from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.em.em import fit_em
from pccompiler.torch_backend.training.gradient import Evaluation, History, fit, mean_log_likelihood
from pccompiler.torch_backend.training.initialise import initialise

__all__ = [
    "CompiledCircuit",
    "Evaluation",
    "History",
    "fit",
    "fit_em",
    "initialise",
    "mean_log_likelihood",
]
