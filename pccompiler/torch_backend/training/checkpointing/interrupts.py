"""Signals that wait until a training step ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Holds Ctrl-C and SIGTERM back.

    Attributes:
        pending: The signal that came, if one did. A second one does not wait.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self._handlers: dict[int, object] = {}

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold signals back; at the end one that came does what it did before."""
        self.install()
        try:
            yield
        finally:
            self.uninstall()
            self.obey()

    def install(self) -> None:
        """Hold signals back from now on; those that are ignored stay so."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python allows no handlers there
        for number in _SIGNALS:
            known = signal.getsignal(number)
            if known not in (signal.SIG_IGN, None):
                self._handlers[number] = known
                signal.signal(number, self._note)

    def uninstall(self) -> None:
        """Let them do what they did before."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]  # as getsignal gave it

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending = number
        self.uninstall()

    def obey(self) -> bool:
        """Raise the signal that came, if one did; say whether."""
        if self.pending is None:
            return False
        number, self.pending = self.pending, None
        signal.raise_signal(number)
        return True
