"""The ``state_dict`` of a torch optimizer or scheduler as JSON and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from pccompiler.errors import OptionError


def encoded(value: object, tensors: dict[str, Tensor]) -> Any:  # a JSON value
    """``value`` as JSON, with a reference in place of each tensor, which is put into ``tensors``.

    Raises:
        OptionError: If something is neither a number, text, tensor, list nor dictionary.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {"tensor": name, "cpu": value.device.type == "cpu"}
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {"pairs": [[encoded(k, tensors), encoded(v, tensors)] for k, v in pairs]}
    if isinstance(value, list | tuple):
        entries = cast("list[object]", value)
        return {"entries": [encoded(entry, tensors) for entry in entries]}
    raise OptionError.of(
        "PC837",
        f"the state of the optimizer or scheduler holds a value of type "
        f"{type(value).__name__}, which a checkpoint cannot hold",
        help="train without checkpoint=, or with an optimizer and a scheduler of plain numbers",
    )


def decoded(value: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
    """The inverse of `encoded`; tensors that were not on the CPU go to ``device``."""
    match value:
        case {"tensor": name, "cpu": on_cpu}:
            return tensors[name].clone() if on_cpu else tensors[name].to(device)
        case {"pairs": pairs}:
            return {decoded(k, tensors, device): decoded(v, tensors, device) for k, v in pairs}
        case {"entries": entries}:
            return [decoded(entry, tensors, device) for entry in entries]
        case _:
            return value
