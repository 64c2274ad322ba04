"""What a kind of measurement says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pccompiler.bench.kinds.checks import Pair, values_and_gradients
from pccompiler.bench.timing import Run
from pccompiler.bench.units import Work
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend import CompiledCircuit


@dataclass(frozen=True, eq=False)
class Setting:
    """A model and the rows that it is timed on.

    Attributes:
        model: A model on the device.
        data: Complete rows on the device.
        batch: Rows at once.
    """

    model: CompiledCircuit
    data: Tensor
    batch: int

    @property
    def rows(self) -> Tensor:
        """Numbers of rows of the data, shape (batch,), again from the first for large batches."""
        all_rows = torch.arange(len(self.data), device=self.data.device)
        return all_rows.repeat(self.batch // len(self.data) + 1)[: self.batch]

    @property
    def x(self) -> Tensor:
        """These rows, shape (batch, variables)."""
        return self.data.index_select(0, self.rows)

    @property
    def holey(self) -> Tensor:
        """The same rows, in which every second variable is missing."""
        x = self.x
        x[:, ::2] = torch.nan
        return x


class Kind(ABC):
    """A kind of measurement: a direction, a step or a question, in one file.

    Attributes:
        name: Its name in result files.
        engine: What runs it.
        by_clock: Whether it is a call that is timed by the clock on GPUs too, instead of work on
            the device that is timed by events.
        peers: The peers with a built-in script that time it; other commands are always asked.
        asks: The time of a peer that it is compared with; by default that of its own name.
    """

    name: ClassVar[str]
    engine: ClassVar[str] = "torch"
    by_clock: ClassVar[bool] = False
    peers: ClassVar[tuple[str, ...]] = ()
    asks: ClassVar[str] = ""

    @abstractmethod
    def run(self, setting: Setting) -> Run:
        """The timed run, after at least one warm-up; on CUDA, if possible, one CUDA graph."""

    @abstractmethod
    def work(self, plan: Plan, batch: int) -> Work | None:
        """The least work for ``batch`` complete rows; ``None`` if no honest count is known."""

    def errors(self, pair: Pair) -> dict[str, float]:
        """Errors against float64, by their names in result files."""
        return values_and_gradients(pair)

    def beside(self, setting: Setting) -> Mapping[str, Run]:
        """Other runs to compare with, by name."""
        del setting
        return {}

    def facts(self) -> dict[str, Any]:  # JSON values
        """What else its lines of results say."""
        return {}

    @property
    def asked(self) -> str:
        """The time that peers are asked for."""
        return self.asks or self.name
