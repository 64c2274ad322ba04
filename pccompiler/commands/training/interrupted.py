"""Training from the command line that is interrupted, and how it goes on."""

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
    """SIGTERM, as `KeyboardInterrupt` is Ctrl-C."""


@contextmanager
def interruptible(model: Path) -> Generator[Path]:
    """The folder for the state of the training of ``model``, which lies beside it.

    Ctrl-C and SIGTERM end the block; one line says how to go on, and the exit code is 130 or 143.
    """
    target = model.resolve()
    state = target.with_name(f"{target.name}.training")
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield state
    except (KeyboardInterrupt, _Terminated) as end:
        if isinstance(end.__context__, FileError):  # what there is could not be written
            print(end.__context__, file=sys.stderr)
        print(_how_to_go_on(state), file=sys.stderr)
        raise typer.Exit(130 if isinstance(end, KeyboardInterrupt) else 143) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def prepare(state: Path, resume: bool | None) -> None:
    """Refuse to begin a training where another one was interrupted, unless it is said which.

    Raises:
        OptionError: If there is one and ``resume`` is ``None``.
        CheckpointError: If its state is damaged.
    """
    if resume is False:
        forget(state)
    step = _step(state)
    if step is None and resume:
        print(f"there is nothing to go on with in {state}: training begins anew", file=sys.stderr)
    elif step is not None and resume is None:
        raise OptionError.of(
            "PC433",
            f"{state} holds a training that was interrupted at step {step:,}",
            help="go on with it by --resume, or begin anew by --restart",
        )


def forget(state: Path) -> None:
    """Remove the state of a training; other files in the folder stay."""
    from pccompiler.torch_backend.training.checkpointing.state import STATE

    with contextlib.suppress(OSError):
        (state / STATE).unlink(missing_ok=True)
        state.rmdir()


def _step(state: Path) -> int | None:
    """The step of the training in ``state``; ``None`` where there is none."""
    from pccompiler.torch_backend.training.checkpointing.state import read_state

    found = read_state(state)
    return None if found is None else found.facts["step"] + found.facts["worker"]["done"]


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
