"""A program and its schedule on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.general.code import Program
from pccompiler.torch_backend.engines.general.schedule import Schedule, schedule_of


@dataclass(frozen=True, eq=False)
class Indexed:
    """A program and its schedule; tensors are their arrays, as 32-bit integers on the device."""

    program: Program
    schedule: Schedule
    code: Tensor
    items: Tensor
    owner: Tensor
    up: Tensor
    up_levels: Tensor
    down: Tensor
    down_levels: Tensor
    choices: Tensor
    choices_levels: Tensor
    push: Tensor
    readers: Tensor
    reads: Tensor
    blocks: Tensor
    leaves: Tensor
    starts: Tensor
    users: Tensor


def indexed(plan: Plan, program: Program, device: torch.device) -> Indexed:
    """The program of a plan, and its schedule, on a device."""
    made = schedule_of(plan, program)
    works = made.up, made.down, made.choices
    arrays: tuple[NDArray[np.integer], ...] = (
        *(program.code, program.items, program.owners),
        *chain.from_iterable((work.items, work.levels) for work in works),
        *(made.push, made.readers, made.reads, made.blocks),
        *(made.leaves, made.starts, made.users),
    )
    return Indexed(program, made, *(on_device(array, device) for array in arrays))


def on_device(
    array: NDArray[np.integer], device: torch.device, dtype: type[np.generic] = np.int32
) -> Tensor:
    """An array of integers as a tensor on a device."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype)).to(device)
