"""Warnings that are logged once per process, such as why something runs more slowly."""

from __future__ import annotations

import logging

_LOG = logging.getLogger("pccompiler")
_SAID: set[str] = set()


def say_once(what: str, about: str | None = None) -> None:
    """Log a warning, unless one on the same subject was logged in this process.

    Args:
        what: The warning.
        about: The subject; by default the warning itself.
    """
    key = what if about is None else about
    if key not in _SAID:
        _SAID.add(key)
        _LOG.warning("%s", what)
