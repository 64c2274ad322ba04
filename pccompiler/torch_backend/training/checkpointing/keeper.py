"""Interrupting and resuming a training: its state in a folder, and signals.

The folder holds one file, ``training.safetensors``: the parameters, the best ones, the optimizer's
moments, and as JSON in its metadata the random state, the step, the history, and the identity of
the training. It is replaced in one rename, so there is always a complete file.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from pccompiler.errors import CheckpointError, FileError, OptionError
from pccompiler.files import write_bytes
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.batches.sources import Loaded, Source
from pccompiler.torch_backend.training.checkpointing.interrupts import Interrupts
from pccompiler.torch_backend.training.checkpointing.state import (
    FORMAT,
    STATE,
    Saved,
    digest,
    pack,
    read_state,
)
from pccompiler.torch_backend.training.course import Course, Facts, TrainingData, Worker
from pccompiler.torch_backend.training.history import Evaluation, trained_parameters
from pccompiler.torch_backend.training.soundness import unsound
from pccompiler.version import __version__

_LOG: Final = logging.getLogger(__name__)
_TRAINED = "the list of parameters that are trained"
_SECONDS = 120.0
_PART = 20.0  # wait at least this many times as long as the last write took


class Keeper:
    """Writes the state of a training to a folder, regularly and when a signal ends the training.

    Attributes:
        found: A state to continue from.
    """

    def __init__(self, folder: Path, identity: Facts, start: str, every: int | None) -> None:
        self.path, self.identity, self.every = folder / STATE, identity, every
        self.start_digest = start
        self.found = read_state(folder)
        if self.found is not None:
            _check_identity(folder, self.found, identity, start)
        self._snapshot: Callable[[], bytes] | None = None
        self.interrupts = Interrupts()
        self._rest()

    def start(self, model: CompiledCircuit, worker: Worker, course: Course) -> None:
        """Restore the state that was found, and keep this training from now on."""
        self._snapshot = lambda: self._pack(model, worker, course)
        if self.found is not None:
            _restore(self.found, model, worker, course)
            self.start_digest = self.found.facts["start"]
        self.write()  # an unwritable folder is reported now, not after hours

    def look(self) -> None:
        """Called after each step: write if it is time, and stop if a signal came."""
        self._steps += 1
        if self.interrupts.pending is not None:
            self.write()
            self.interrupts.obey()
            self.interrupts.install()  # continue if the signal did not end the process
        elif self._is_time():
            self.try_to_write()

    def try_to_write(self) -> None:
        """Write the current state; a full disk only gives a warning."""
        try:
            self.write()
        except FileError as error:
            self._rest()
            _LOG.warning("training continues without a new checkpoint: %s", error)

    def write(self) -> None:
        """Write the current state."""
        if self._snapshot is None:
            raise AssertionError("start() was not called")
        before = time.monotonic()
        write_bytes(self.path, self._snapshot())
        self._rest(_PART * (time.monotonic() - before))

    def _is_time(self) -> bool:
        return self._steps >= self.every if self.every else time.monotonic() >= self._due

    def _rest(self, least: float = 0.0) -> None:
        self._steps = 0
        self._due = time.monotonic() + max(_SECONDS, least)

    def _pack(self, model: CompiledCircuit, worker: Worker, course: Course) -> bytes:
        own, facts = worker.state()
        best, names = course.best, list(model.weights.values.keys())
        tensors = {f"parameters/{n}": p for n, p in model.weights.values.items()}
        if best.state is not None:
            tensors |= {f"best/{n}": t for n, t in zip(names, best.state, strict=True)}
        tensors |= {f"worker/{name}": tensor for name, tensor in own.items()}
        history = course.history
        told = {
            "format": FORMAT,
            "pccompiler": __version__,
            "identity": self.identity,
            "start": self.start_digest,
            "step": course.step,
            "stale": course.stale,
            "seconds": course.seconds,
            "best": [best.step, best.valid],
            "evaluations": [asdict(record) for record in history.evaluations],
            "initialised": history.initialised,
            "worker": facts,
        }
        return pack({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, told)


def make_keeper(
    folder: str | Path | None,
    every: int | None,
    model: CompiledCircuit,
    rows: TrainingData,
    options: Facts,
) -> Keeper | None:
    """The keeper of a training, or ``None`` without a folder.

    Args:
        folder: The folder of the checkpoint.
        every: Steps between two writes; ``None`` for two minutes.
        model: The model before any change.
        rows: The data.
        options: All options that affect the course of the training.

    Raises:
        OptionError: If ``every`` is below 1, or the rows come from a loader.
        CheckpointError: If the folder holds something else, or a file that cannot be read.
    """
    if every is not None and every < 1:
        raise OptionError.of("PC302", f"checkpoint_every is {every}", help="use at least 1")
    if folder is None:
        return None
    if isinstance(rows.train, Loaded):
        raise OptionError.of(
            "PC837",
            "a checkpoint cannot say where a loader of batches stands",
            help="give the loader's dataset instead, whose batches fit draws by itself, or train "
            "without checkpoint=",
        )
    identity: Facts = {
        "circuit": model.circuit.fingerprint,
        "precision": f"{model.precision}, numerics {model.numerics}",
        "training rows": _digest_rows(rows.train),
        "validation rows": None if rows.valid is None else _digest_rows(rows.valid),
        "weights of rows": None if rows.weights is None else digest({"": rows.weights}),
        "options": {n: _plain(v) for n, v in options.items()}
        | {_TRAINED: sorted(trained_parameters(model))},
    }
    start = digest(dict(model.weights.values.items()))
    return Keeper(Path(folder), identity, start, every)


def _restore(found: Saved, model: CompiledCircuit, worker: Worker, course: Course) -> None:
    """Restore everything; parameters in place, where a captured graph expects them."""
    facts, best, history = found.facts, course.best, course.history
    parameters, kept = found.part("parameters"), found.part("best")
    with torch.no_grad():
        for name, parameter in model.weights.values.items():
            parameter.copy_(parameters[name])
    worker.restore(found.part("worker"), facts["worker"])
    course.step, course.stale = int(facts["step"]), int(facts["stale"])
    course.started -= float(facts["seconds"])
    best.step, best.valid = facts["best"]
    if kept:
        best.state = [kept[name].to(model.device) for name in model.weights.values]
    if not unsound(model, parameters):
        best.mark(course.step + worker.ahead)
    history.evaluations += [Evaluation(**record) for record in facts["evaluations"]]
    history.initialised = bool(facts["initialised"])
    history.resumed_at = course.step + worker.ahead


def _check_identity(folder: Path, found: Saved, wanted: Facts, start: str) -> None:
    """Refuse the training of other data, options, circuits or starts; list all differences."""
    known: Facts = found.facts["identity"]
    notes = [
        f"the {name} differ{'s' if name in ('circuit', 'precision') else ''}"
        for name in wanted
        if name != "options" and known.get(name) != wanted[name]
    ]
    before, now = known["options"], wanted["options"]
    names = sorted(now) if before.get("method") == now["method"] else ["method"]
    if "the circuit differs" in notes:
        names = [name for name in names if name != _TRAINED]  # another circuit has other ones
    notes += [
        f"{name} was {before.get(name)!r} and is {now[name]!r}"
        for name in names
        if before.get(name) != now[name]
    ]
    ends = [digest(found.part("parameters")), digest(found.part("best"))]
    if not notes and start not in (found.facts["start"], *ends):
        notes.append("the initial parameters differ, perhaps because of another seed")
    if notes:
        raise CheckpointError.of(
            "PC507",
            f"{folder} holds the checkpoint of another training, at step {found.facts['step']}",
            notes=notes,
            help="make the same call to continue it; give another folder, or delete this one, "
            "to start over",
        )


def _digest_rows(rows: Tensor | Source) -> str:
    """SHA-256 of rows as the model uses them; other sources are read once."""
    whole = hashlib.sha256(str(len(rows)).encode())
    for part in rows.split(8192):
        whole.update(part.cpu().contiguous().numpy().view(np.uint8).data)
    return whole.hexdigest()


def _plain(value: object) -> object:
    """An option as a JSON value."""
    number = value.item() if isinstance(value, np.generic) else value
    return number if isinstance(number, str | int | float | None) else repr(number)
