"""Captures work on a GPU as a CUDA graph."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Literal, TypeVar

import torch

Result = TypeVar("Result")


def captured(
    run: Callable[[], Result],
    *,
    warm_ups: int = 3,
    mode: Literal["global", "thread_local", "relaxed"] = "global",
    generator: torch.Generator | None = None,
) -> tuple[torch.cuda.CUDAGraph, Result]:
    """A graph of what ``run`` does on the current device, and what it returned.

    Args:
        run: It must not wait for the device.
        warm_ups: How often it runs first, on another stream, as torch asks for.
        mode: Which calls of other threads end the capture, see `torch.cuda.graph`.
        generator: Random numbers that it uses, unless it uses torch's own; replays go on with them.

    Raises:
        RuntimeError: If something in it cannot be captured.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warm_ups):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    gc.collect()  # freeing another graph during the capture would end it
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph, capture_error_mode=mode):
        found = run()
    return graph, found
