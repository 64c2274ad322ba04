"""Logs a training to MLflow."""

from __future__ import annotations

from pccompiler.torch_backend.training.callbacks.base import Callback, Training, metrics, needed
from pccompiler.torch_backend.training.history import Evaluation


class MLflow(Callback):
    """Logs each evaluation to a run; ``options`` are those of ``mlflow.start_run``."""

    def __init__(self, **options: object) -> None:
        self.options = options

    def on_start(self, training: Training) -> None:
        """Start a run."""
        self.mlflow = needed("mlflow", "mlflow")
        self.mlflow.start_run(**self.options)

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """Log mean log-likelihoods, or minus mean losses, in nats."""
        self.mlflow.log_metrics(metrics(training, evaluation), step=evaluation.step)

    def on_end(self, training: Training) -> None:
        """End the run."""
        self.mlflow.end_run()
