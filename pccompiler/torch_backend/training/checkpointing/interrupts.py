"""Delays signals until a training step ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Holds back Ctrl-C and SIGTERM.

    Attributes:
        pending: The signal that came, if any. A second one takes effect at once.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self._handlers: dict[int, object] = {}

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold back signals; at the end, a pending one has its usual effect."""
        self.install()
        try:
            yield
        finally:
            self.uninstall()
            self.obey()

    def install(self) -> None:
        """Hold back signals from now on, except those that are ignored."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python allows handlers only in the main thread
        for number in _SIGNALS:
            known = signal.getsignal(number)
            if known not in (signal.SIG_IGN, None):
                self._handlers[number] = known
                signal.signal(number, self._note)

    def uninstall(self) -> None:
        """Restore the previous handlers."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]  # as getsignal gave it

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending = number
        self.uninstall()

    def obey(self) -> bool:
        """Raise the pending signal, if any, and return whether there was one."""
        if self.pending is None:
            return False
        number, self.pending = self.pending, None
        signal.raise_signal(number)
        return True
