"""The progress of a training on standard error."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Final

from pccompiler.progress import progress_bar
from pccompiler.torch_backend.training.callbacks.base import Callback, Training

EVERY: Final = 0.1
"""The least seconds between two updates. Each waits for the device, to show the loss."""


class Bar(Callback):
    """A bar that shows each step, the loss, the best validation value, the rate and the time left.

    If standard error is not a terminal, a line every few seconds.
    """

    def on_start(self, training: Training) -> None:
        """Show it."""
        self.stack, self.shown, self.last = contextlib.ExitStack(), training.step, 0.0
        bar = progress_bar("training", training.steps, left=True, done=training.step)
        self.advance = self.stack.enter_context(bar)

    def on_step(self, training: Training) -> None:
        """Move it."""
        now = time.monotonic()
        if now - self.last < EVERY and training.step < training.steps:
            return
        self.last = now
        best, text = training.best_valid, f"loss {training.loss:.4f}"
        if best is not None and math.isfinite(best):
            text += f", best valid {best:.4f}"
        self.advance(training.step - self.shown, f"{text} nats")
        self.shown = training.step

    def on_end(self, training: Training) -> None:
        """Remove it."""
        self.stack.close()
