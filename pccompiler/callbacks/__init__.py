"""Callbacks of `pccompiler.fit` and `pccompiler.fit_em`: the base class, and ready-made ones.

What a ready-made one logs to is imported when a training starts, and must be installed then.
"""

from pccompiler.torch_backend.training.callbacks.base import Callback, Training
from pccompiler.torch_backend.training.callbacks.mlflow import MLflow
from pccompiler.torch_backend.training.callbacks.tensorboard import TensorBoard
from pccompiler.torch_backend.training.callbacks.wandb import WandB

__all__ = ["Callback", "MLflow", "TensorBoard", "Training", "WandB"]
