"""Where in the user's program something was declared."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType


def caller() -> str:
    """``file:line`` of the innermost frame outside this package.

    Compares module names, not paths, so that an installed package and a checkout behave alike.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _ours(frame.f_globals):
        frame = frame.f_back
    if frame is None:
        return "<unknown>:0"
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _ours(module: Mapping[str, object]) -> bool:
    name = str(module.get("__name__", ""))
    return name == "pccompiler" or name.startswith("pccompiler.")
