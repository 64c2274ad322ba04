"""Some of a plan's variables, and the leaves over them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan


class Chosen:
    """Some of a plan's variables, and the rows of each input layer that are over them.

    Attributes:
        columns: The variables, in the order wanted.
        index: The same, on the device.
        states: The most states of any discrete one, at least 1.
        discrete: Whether each one is discrete, on the device.
        rows: Input layer to its rows over these variables (``None`` for all), and the position of
            each row's variable in ``columns``. Layers without such rows are left out.
    """

    def __init__(self, plan: Plan, columns: tuple[int, ...], device: torch.device) -> None:
        self.columns = columns
        own = [plan.variables[column] for column in columns]
        self.states = max([1, *(v.cardinality for v in own if v.discrete)])
        self.discrete = torch.tensor([v.discrete for v in own], device=device)
        position = np.full(len(plan.variables), -1)
        position[list(columns)] = np.arange(len(columns))
        self.rows: dict[int, tuple[Tensor | None, Tensor]] = {}

        def put(numbers: NDArray[np.integer]) -> Tensor:
            return torch.from_numpy(numbers.astype(np.int64)).to(device)

        self.index = put(np.array(columns, np.int64))
        for number, layer in enumerate(plan.layers):
            if layer.kind != Kind.INPUT or layer.variables is None:
                continue
            at = position[layer.variables]
            rows = np.flatnonzero(at >= 0)
            if len(rows):
                some = None if len(rows) == len(at) else put(rows)
                self.rows[number] = some, put(at[rows])
