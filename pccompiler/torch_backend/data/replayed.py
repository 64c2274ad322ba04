"""Questions to a model on a GPU, answered by replaying CUDA graphs."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from pccompiler.torch_backend.data.entrance import Entrance
from pccompiler.torch_backend.runtime.replays import Function, Replays


def replayed(
    model: Entrance,
    engine: Hashable,
    name: str,
    rows: Tensor,
    run: Function,
    most: int,
    *,
    check: bool = True,
    complete: bool = False,
    source: torch.Generator | None = None,
) -> tuple[Tensor, ...] | None:
    """What ``run`` makes of rows, by replaying a graph; ``None`` if there is none yet.

    Args:
        model: The model, which keeps the graphs.
        engine: The engine that ``run`` asks; with another one, graphs are captured anew.
        name: What is asked, which has graphs of its own.
        rows: From `Entrance.prepare`, on a GPU.
        run: What to capture. It must not wait for the device.
        most: The most rows of a call that is captured.
        check: Whether to look for values out of range.
        complete: Whether ``run`` needs rows without missing values.
        source: Random numbers, if ``run`` uses them.

    Raises:
        DataError: If a value is out of range.
    """
    if model.replays is None:
        model.replays = {}
    blank = 0.0 if complete else torch.nan
    known = model.replays.setdefault(name, Replays(most, blank))
    places = tuple(p.data_ptr() for p in model.weights.values.values())
    settings = engine, torch.get_float32_matmul_precision(), places
    found = known(rows, run, model.states.wrong if check else None, settings, source)
    if found is None:
        return None
    values, is_wrong = found
    if is_wrong:
        model.states.refuse(rows, complete=False)
    return values
