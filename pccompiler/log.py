"""What the backend has to say once in a process: why something runs in a slower way."""

from __future__ import annotations

import logging

_LOG = logging.getLogger("pccompiler")
_SAID: set[str] = set()


def say_once(what: str, about: str | None = None) -> None:
    """Log a warning, if none about the same matter was logged in this process.

    Args:
        what: The warning.
        about: The matter; by default the warning itself.
    """
    key = what if about is None else about
    if key not in _SAID:
        _SAID.add(key)
        _LOG.warning("%s", what)
