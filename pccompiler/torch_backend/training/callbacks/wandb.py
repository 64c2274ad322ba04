"""Logs a training to Weights & Biases."""

from __future__ import annotations

from pccompiler.torch_backend.training.callbacks.base import Callback, Training, metrics, needed
from pccompiler.torch_backend.training.history import Evaluation


class WandB(Callback):
    """Logs each evaluation to a run; ``options`` are those of ``wandb.init``."""

    def __init__(self, **options: object) -> None:
        self.options = options

    def on_start(self, training: Training) -> None:
        """Start a run."""
        self.run = needed("wandb", "wandb").init(**self.options)

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """Log mean log-likelihoods, or minus mean losses, in nats."""
        self.run.log(metrics(training, evaluation), step=evaluation.step)

    def on_end(self, training: Training) -> None:
        """Finish the run."""
        self.run.finish()
