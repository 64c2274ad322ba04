"""Compiles Triton kernels several at a time, ahead of their first launch."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

# Triton's kernels are untyped, hence ``Any``.
_AHEAD: ContextVar[bool] = ContextVar("pccompiler_compiles_ahead", default=False)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: object, **options: object) -> None:
    """Launch a kernel; inside `together`, only compile it."""
    if _AHEAD.get():
        kernel.warmup(*arguments, grid=grid, **options)
    else:
        kernel[grid](*arguments, **options)


@cache
def can_compile_ahead() -> bool:
    """Whether Triton has the mode that `together` needs, which came with version 3.5."""
    import triton  # pyright: ignore[reportMissingImports]

    return hasattr(triton, "AsyncCompileMode")


@contextmanager
def together() -> Generator[None]:
    """Compile all kernels that are launched inside at the same time, without running them.

    What fails is compiled again, and reported, when it is launched.
    """
    import triton  # pyright: ignore[reportMissingImports]

    token = _AHEAD.set(True)
    try:
        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            triton.AsyncCompileMode(pool, ignore_errors=True),
        ):
            yield
    finally:
        _AHEAD.reset(token)
