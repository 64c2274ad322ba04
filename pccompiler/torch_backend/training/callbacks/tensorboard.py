"""Logs a training for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from pccompiler.torch_backend.training.callbacks.base import Callback, Training, metrics, needed
from pccompiler.torch_backend.training.history import Evaluation


class TensorBoard(Callback):
    """Writes each evaluation to ``folder``, for ``tensorboard --logdir folder``."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)

    def on_start(self, training: Training) -> None:
        """Open the folder."""
        self.writer = needed("torch.utils.tensorboard", "tensorboard").SummaryWriter(self.folder)

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """Write mean log-likelihoods, or minus mean losses, in nats."""
        for name, value in metrics(training, evaluation).items():
            self.writer.add_scalar(name, value, evaluation.step)

    def on_end(self, training: Training) -> None:
        """Flush."""
        self.writer.close()
