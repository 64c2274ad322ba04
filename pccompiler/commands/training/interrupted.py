"""Interrupting and resuming training on the command line."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from pccompiler.errors import FileError, OptionError, PCCompilerError


class _Terminated(BaseException):
    """Raised on SIGTERM, like `KeyboardInterrupt` on Ctrl-C."""


@contextmanager
def interruptible(model: Path) -> Generator[Path]:
    """The folder for the training state of ``model``, next to it.

    Ctrl-C and SIGTERM end the block; one line says how to resume, and the exit code is 130 or 143.
    """
    target = model.resolve()
    state = target.with_name(f"{target.name}.training")
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield state
    except (KeyboardInterrupt, _Terminated) as end:
        if isinstance(end.__context__, FileError):  # the state could not be written
            print(end.__context__, file=sys.stderr)
        print(_how_to_go_on(state), file=sys.stderr)
        raise typer.Exit(130 if isinstance(end, KeyboardInterrupt) else 143) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def prepare(state: Path, resume: bool | None) -> None:
    """Refuse to start where another training was interrupted, unless told to resume or restart.

    Raises:
        OptionError: If there is one and ``resume`` is ``None``.
        CheckpointError: If its state is damaged.
    """
    if resume is False:
        forget(state)
    step = _step(state)
    if step is None and resume:
        print(f"there is nothing to resume in {state}: training starts over", file=sys.stderr)
    elif step is not None and resume is None:
        raise OptionError.of(
            "PC433",
            f"{state} holds a training that was interrupted at step {step:,}",
            help="continue it with --resume, or start over with --restart",
        )


def forget(state: Path) -> None:
    """Remove the state of a training; other files in the folder stay."""
    from pccompiler.torch_backend.training.checkpointing.state import STATE

    with contextlib.suppress(OSError):
        (state / STATE).unlink(missing_ok=True)
        state.rmdir()


def _step(state: Path) -> int | None:
    """The step of the training in ``state``; ``None`` if there is none."""
    from pccompiler.torch_backend.training.checkpointing.state import read_state

    found = read_state(state)
    if found is None:
        return None
    whole: int = found.facts["step"]  # by EM, one is a pass over the rows, in several batches
    by_em = found.facts["identity"]["options"]["method"] == "fit_em"
    return whole if by_em else whole + found.facts["worker"]["done"]


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _how_to_go_on(state: Path) -> str:
    """One line for the user."""
    try:
        step = _step(state)
    except PCCompilerError as error:
        return str(error)
    if step is None:
        return "stopped before the first step"
    given = [word for word in sys.argv[1:] if word not in ("--resume", "--restart")]
    return f"stopped at step {step:,}; go on with: " + shlex.join(
        ["pccompiler", *given, "--resume"]
    )
