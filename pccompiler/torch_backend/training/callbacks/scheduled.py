"""Moves the scheduler of an optimizer."""

from __future__ import annotations

from pccompiler.torch_backend.training.callbacks.base import Callback, Training
from pccompiler.torch_backend.training.history import Evaluation
from pccompiler.torch_backend.training.optimizers.chosen import Chosen


class Scheduled(Callback):
    """Moves the scheduler once every so many steps, or with each validation value."""

    def __init__(self, chosen: Chosen, every: int) -> None:
        self.chosen, self.every = chosen, every

    def on_step(self, training: Training) -> None:
        """See `Chosen.schedule`."""
        if training.step % self.every == 0:
            self.chosen.schedule()

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """See `Chosen.schedule`."""
        if evaluation.valid is not None:
            self.chosen.schedule(evaluation.valid)

    def on_end(self, training: Training) -> None:
        """See `Chosen.finish`."""
        self.chosen.finish()
