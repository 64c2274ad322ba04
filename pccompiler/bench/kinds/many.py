"""A step of many models together, as in `fit_many`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pccompiler.api import compile as compiled
from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.step import LEARNING_RATE, Step
from pccompiler.bench.timing import Run, replay
from pccompiler.bench.units import Work
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.training import together


@dataclass(frozen=True)
class Many(Kind):
    """A training step of all models; on CUDA in one graph, on a CPU in turns.

    Attributes:
        models: Number of models, of one circuit with different seeds.
    """

    models: int = 32
    name = "many"

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        members = [self._member(setting, seed) for seed in range(self.models)]
        for member in members:
            member.stepper.rows.copy_(setting.rows)
        if setting.data.device.type == "cuda":
            graph = together.Graph(members)
            return replay(graph.graph, (graph, members))

        def steps() -> None:
            for member in members:
                member.stepper.step()

        steps()
        return steps

    def _member(self, setting: Setting, seed: int) -> together.Member:
        data = setting.data if setting.batch <= len(setting.data) else setting.x
        schedule = together.Schedule(
            steps=1, batch_size=setting.batch, evaluate_every=1, patience=None
        )
        run = together.Run(seed=seed, learning_rate=LEARNING_RATE, weight_decay=0.0)
        model = compiled(setting.model.circuit, device=data.device, seed=seed)
        return together.Member(model, run, together.Rows(data, None), schedule)

    def work(self, plan: Plan, batch: int) -> Work:
        """A step's, for each model."""
        return Step().work(plan, batch).times(self.models)

    def beside(self, setting: Setting) -> Mapping[str, Run]:
        """A step of one model."""
        return {"one": Step().run(setting)}

    def facts(self) -> dict[str, Any]:  # JSON values
        """The number of models."""
        return {"models": self.models}
