"""The command line, assembled from `pccompiler.commands`."""

from __future__ import annotations

import contextlib
import os
import sys

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
from pccompiler.commands.training.train import train
from pccompiler.errors import OptionError, PCCompilerError

app = typer.Typer(
    name="pccompiler",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""A compiler for probabilistic circuits.

**A first session**

    pccompiler train --data nltcs --out out/nltcs      # train a HyperSPN by the paper's recipe

    pccompiler show out/nltcs                          # what was trained

    pccompiler export out/nltcs out/nltcs.onnx         # checked against the oracle

    pccompiler query out/nltcs.onnx rows.csv           # log-likelihoods through ONNX Runtime

Circuits of your own are text files (`.pcir`); `pccompiler check FILE` reports errors in one.
""",
)
for command in (
    train,
    sample,
    complete,
    marginals,
    score,
    opt,
    passes,
    draw,
    import_,
    properties,
    explain,
    datasets,
    bench,
    check,
    show,
    export,
    query,
):
    app.command(command.__name__.removesuffix("_"))(command)


def main() -> None:
    """Run the command line; user errors are reported without a traceback."""
    try:
        try:
            app()
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
