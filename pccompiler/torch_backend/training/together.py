"""Trains many models of one circuit at once: on a GPU, all their steps are one CUDA graph.

A step of a small circuit leaves most of a GPU idle. The graph has a branch for each model, with the
kernels that `fit` would launch, so each model ends as its own call of `fit` would leave it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.progress import progress_bar
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.runtime.capture import captured
from pccompiler.torch_backend.training.batches.order import draw
from pccompiler.torch_backend.training.batches.workers import REMEDY
from pccompiler.torch_backend.training.course import Course, TrainingData
from pccompiler.torch_backend.training.gradient import checked_rates, fit
from pccompiler.torch_backend.training.history import History, mean_of_checked
from pccompiler.torch_backend.training.initialise import begin
from pccompiler.torch_backend.training.loop import finished, record
from pccompiler.torch_backend.training.optimizers.adam import make_adam
from pccompiler.torch_backend.training.stepper import Stepper


@dataclass(frozen=True, kw_only=True)
class Run:
    """How one of the models is trained; see `fit`.

    Attributes:
        seed: Seed of its batches.
        learning_rate: Learning rate of Adam.
        weight_decay: L2 penalty inside Adam.
    """

    seed: int
    learning_rate: float
    weight_decay: float


class Rows(NamedTuple):
    """Training and validation rows, checked and on the device of the models."""

    train: Tensor
    valid: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What all models have in common; see `fit`."""

    steps: int
    batch_size: int
    evaluate_every: int
    patience: int | None


def train_together(
    models: Sequence[CompiledCircuit],
    runs: Sequence[Run],
    rows: Sequence[Rows],
    schedule: Schedule,
    *,
    progress: bool = True,
) -> list[History]:
    """Train each model in place, as `fit` would with its run and its rows.

    Args:
        models: Models of one circuit, on one device.
        runs: The settings of each.
        rows: The rows of each; models may share them.
        schedule: How long, and how often to evaluate.
        progress: Whether to show a progress bar on a terminal.

    Raises:
        DataError: If a loss or a parameter of one model is not finite.
    """
    batch = min(schedule.batch_size, *(len(own.train) for own in rows))
    schedule = replace(schedule, batch_size=batch)
    if models[0].device.type != "cuda":
        return _one_by_one(models, runs, rows, schedule, progress)
    members = [Member(*each, schedule) for each in zip(models, runs, rows, strict=True)]
    with contextlib.ExitStack() as stack:
        for member in members:
            stack.enter_context(member.course.best.kept())
            stack.callback(member.stepper.tell_torch)
        advance: Callable[[int], None] = lambda _: None  # noqa: E731
        if progress:
            tell = stack.enter_context(progress_bar("training", schedule.steps, left=True))
            advance = partial(_tell, tell, members)
        _learn(members, schedule, advance)
    found = [finished(member.course, schedule.steps) for member in members]
    return [replace(history, captured=True) for history in found]


def _one_by_one(
    models: Sequence[CompiledCircuit],
    runs: Sequence[Run],
    rows: Sequence[Rows],
    schedule: Schedule,
    progress: bool,
) -> list[History]:
    found: list[History] = []
    with contextlib.ExitStack() as stack:
        tell: Callable[[int, str], None] = lambda chunk, text: None  # noqa: E731
        if progress:
            tell = stack.enter_context(progress_bar("models", len(models), left=True))
        for model, run, own in zip(models, runs, rows, strict=True):
            history = fit(
                model,
                own.train,
                own.valid,
                steps=schedule.steps,
                batch_size=schedule.batch_size,
                learning_rate=run.learning_rate,
                weight_decay=run.weight_decay,
                evaluate_every=schedule.evaluate_every,
                patience=schedule.patience,
                seed=run.seed,
                progress=False,
            )
            found.append(history)
            tell(1, "")
    return found


class Member:
    """One of the models with its optimizer, its batches and its progress."""

    def __init__(self, model: CompiledCircuit, run: Run, rows: Rows, schedule: Schedule) -> None:
        self.rows = TrainingData(rows.train, None, rows.valid)
        self.course = Course(model, begin(model, self.rows, run.seed, None))
        self.number = len(rows.train)
        rate, decay = checked_rates(model, run.learning_rate, run.weight_decay)
        self.stepper = Stepper(
            model,
            rows.train,
            None,
            schedule.batch_size,
            partial(make_adam, rate=rate, decay=decay),
            cuda_graph=False,
        )
        self.rng = np.random.default_rng(run.seed)
        if rows.valid is not None:
            self.course.best.begin(mean_of_checked(model, rows.valid))

    def batches(self, steps: int) -> Tensor:
        """Rows of the next steps, shape (steps, batch)."""
        return draw(self.rng, self.number, self.stepper.batch, steps)

    def running(self, patience: int | None) -> bool:
        """Whether it has not lost its patience."""
        return patience is None or self.course.stale < patience

    def record(self, taken: int) -> None:
        """Note the result of a chunk of steps, and its validation value."""
        mean = float(self.stepper.totals.sum()) / (taken * self.stepper.batch)
        record(self.course, REMEDY, self.rows, taken, mean)


class Graph:
    """The next step of all members: one CUDA graph, and the rows that it reads."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.steppers = [member.stepper for member in members]
        self.rows = torch.stack([stepper.rows for stepper in self.steppers])
        for stepper, own in zip(self.steppers, self.rows, strict=True):
            stepper.rows = own
        self.streams = [torch.cuda.Stream(self.rows.device) for _ in self.steppers]
        with contextlib.ExitStack() as stack:
            for stepper in self.steppers:
                stack.enter_context(stepper.rehearsed())
            self.graph, _ = captured(self._branches)

    def _branches(self) -> None:
        main = torch.cuda.current_stream()
        for stepper, stream in zip(self.steppers, self.streams, strict=True):
            stream.wait_stream(main)
            with torch.cuda.stream(stream):
                stepper.step()
        for stream in self.streams:
            main.wait_stream(stream)

    def run(self, batches: Tensor) -> None:
        """Take steps with batches of shape (steps, members, batch)."""
        for stepper in self.steppers:
            stepper.totals.zero_()
        for rows in batches.to(self.rows.device):
            self.rows.copy_(rows)
            self.graph.replay()


def _learn(members: list[Member], schedule: Schedule, advance: Callable[[int], None]) -> None:
    """Steps and evaluations in turns. Members without patience take no further part."""
    done, graph, running = 0, Graph(members), members
    drawn = _drawn(running, min(schedule.evaluate_every, schedule.steps))
    while done < schedule.steps and running:
        taken = min(schedule.evaluate_every, schedule.steps - done)
        graph.run(torch.stack([drawn[member] for member in running], dim=1))
        done += taken
        if done < schedule.steps:  # the device is busy meanwhile
            drawn = _drawn(running, min(schedule.evaluate_every, schedule.steps - done))
        for member in running:
            member.record(taken)
        left = [member for member in running if member.running(schedule.patience)]
        if left and len(left) < len(running) and done < schedule.steps:
            graph = Graph(left)
        running = left
        advance(taken)


def _drawn(members: Sequence[Member], steps: int) -> dict[Member, Tensor]:
    """The batches of the next steps, by member."""
    return {member: member.batches(steps) for member in members}


def _tell(tell: Callable[[int, str], None], members: Sequence[Member], chunk: int) -> None:
    """Show the best validation value so far."""
    values = [m.course.best.valid for m in members if m.course.best.valid is not None]
    best = max((v for v in values if math.isfinite(v)), default=None)
    tell(chunk, "" if best is None else f"best valid {best:.4f} nats")
