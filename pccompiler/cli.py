"""The command line, assembled from `pccompiler.commands`."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from pccompiler.commands.ask import complete, marginals, sample
from pccompiler.commands.bench import bench
from pccompiler.commands.check import check
from pccompiler.commands.datasets import datasets
from pccompiler.commands.draw import draw
from pccompiler.commands.explain import explain
from pccompiler.commands.export import export
from pccompiler.commands.import_ import import_
from pccompiler.commands.opt import opt, passes
from pccompiler.commands.properties import properties
from pccompiler.commands.query import query
from pccompiler.commands.score import score
from pccompiler.commands.show import show
from pccompiler.commands.starter.new import new
from pccompiler.commands.training.structures import structures
from pccompiler.commands.training.train import train
from pccompiler.errors import OptionError, PCCompilerError
from pccompiler.version import __version__


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pccompiler {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="pccompiler",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
PANELS = {
    "Start": (new, datasets),
    "Look at a circuit": (check, explain, draw, show, properties),
    "Train a model, and ask it": (
        train,
        structures,
        query,
        sample,
        complete,
        marginals,
        score,
        export,
    ),
    "Other programs, passes, speed": (import_, opt, passes, bench),
}
"""The commands in the order of the help."""
for _panel, _commands in PANELS.items():
    for _command in _commands:
        app.command(_command.__name__.removesuffix("_"), rich_help_panel=_panel)(_command)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """A compiler for probabilistic circuits.

    **A first session**

        pccompiler new garden                  # a project: circuit, training, test

        pccompiler train --data nltcs --out m  # a HyperSPN, as in the paper

        pccompiler query m nltcs               # log-likelihoods of its test rows

        pccompiler export m m.onnx             # checked against the oracle

    Circuits of your own are text files (`.pcir`); `pccompiler check FILE` reports errors in one.
    """


def main() -> None:
    """Run the command line; user errors are reported without a traceback."""
    try:
        try:
            app(prog_name="pccompiler")  # also of python -m pccompiler
        finally:
            sys.stdout.flush()
    except PCCompilerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:  # files that cannot be read or written
        print(_of_file(error), file=sys.stderr)
        _give_up_output()
        raise SystemExit(1) from None


def _of_file(error: OSError) -> OptionError:
    """An `OSError` as an error with a diagnostic."""
    return OptionError.of(
        "PC312",
        f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}",
        help="check the path and its permissions",
    )


def _give_up_output() -> None:
    """Discard pending output: Python would try to print it again at exit, and fail again."""
    # Streams that are not files need nothing.
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()
