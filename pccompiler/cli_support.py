"""What the commands are made of, apart from the printing."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.table import Table as TextTable

from pccompiler import recipes
from pccompiler.datasets import Splits, Table, load_file, split
from pccompiler.datasets import load as load_named
from pccompiler.errors import DataError, OptionError
from pccompiler.files import left_behind, write_bytes
from pccompiler.imports.read import FORMATS, read
from pccompiler.ir import (
    Circuit,
    Hypernetwork,
    Variable,
    binary,
    categorical,
    real,
)
from pccompiler.ir import read_circuit as read_text_circuit
from pccompiler.structures import hmm, naive_bayes_mixture, rat_spn

if TYPE_CHECKING:
    from pccompiler.torch_backend import CompiledCircuit

MOST_STATES = 256


def read_circuit(path: Path) -> Circuit:
    """A circuit from a text file, a checkpoint folder, or a file of another program."""
    file = path / "circuit.pcir" if path.is_dir() else path
    if file.suffix == ".gz" or file.suffix.removeprefix(".") in FORMATS[1:]:
        return read(file)
    try:
        return read_text_circuit(file)
    except OSError as error:
        raise OptionError.of(
            "PC310",
            f"{file} cannot be read as a circuit: {error.strerror}",
            help="give a .pcir text file",
        ) from None


def any_model(path: Path) -> CompiledCircuit:
    """A trained model from its folder, or a circuit with all weights given, in float64."""
    import pccompiler as pc

    if (path / "circuit.pcir").exists() or left_behind(path):
        return pc.load(path)
    return pc.compile(read_circuit(path), dtype="float64")


def of_file(error: OSError) -> OptionError:
    """What went wrong with a file, as an error that can be told."""
    return OptionError.of(
        "PC312",
        f"{error.filename or 'a file'} cannot be read or written: {error.strerror or error}",
        help="check the path and its permissions",
    )


def give_up_output() -> None:
    """Drop what is left to print: Python would try again at its end, and complain once more."""
    # Streams that are no files need nothing.
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def load(data: str, data_dir: Path | None) -> Splits:
    """A named data set, or a file; a .csv is split 70/10/20 with seed 0."""
    if Path(data).suffix.lower() not in (".npz", ".csv"):
        return load_named(data, data_dir)
    content = load_file(data)
    if isinstance(content, Table):
        return split(content.values, seed=0, name=Path(data).stem)
    return content


def query_rows(data: str, data_dir: Path | None) -> NDArray[np.float64]:
    """The rows of a .csv, or the test rows of a data set (all rows where it has no test part)."""
    if Path(data).suffix.lower() == ".csv":
        content = load_file(data)
        if isinstance(content, Table):
            return content.values
    splits = load(data, data_dir)
    return np.asarray(splits.train if splits.test is None else splits.test, np.float64)


def recipe(data: str, hypernetwork: bool) -> recipes.Recipe:
    """The paper's recipe for a named set; for a file, that of the Twenty Datasets."""
    try:
        return recipes.paper(data, hypernetwork=hypernetwork)
    except DataError:
        return recipes.paper("nltcs", hypernetwork=hypernetwork)


def hypernetwork(
    default: Hypernetwork | None, embedding: int, hidden: str | None
) -> Hypernetwork | None:
    """The recipe's hypernetwork with the command line's sizes."""
    if default is None:
        return None
    if hidden is None:
        return replace(default, embedding=embedding)
    if not all(width.isdecimal() and len(width) < 10 for width in hidden.split("x")):
        raise OptionError.of(
            "PC302", f"--hidden is {hidden[:40]!r}", help="write widths with an x between, as 20x20"
        )
    widths = tuple(int(width) for width in hidden.split("x"))
    return replace(default, embedding=embedding, hidden=widths)


def structure(
    name: str, rows: Splits, replicas: int, units: int, depth: int | None, seed: int
) -> Circuit:
    """A built-in structure over the columns of ``rows``."""
    parts = [part for part in (rows.train, rows.valid, rows.test) if part is not None]
    variables = infer_variables(np.concatenate(parts))
    if name == "hmm":
        return hmm(variables, units)
    if name == "mixture":
        return naive_bayes_mixture(variables, units)
    return rat_spn(variables, replicas, units, seed, depth=depth)


def infer_variables(rows: NDArray[np.generic]) -> tuple[Variable, ...]:
    """Binary, categorical or real, from what the columns hold."""
    table = np.asarray(rows, np.float64)
    return tuple(_variable(f"x{i}", table[:, i]) for i in range(table.shape[1]))


def _variable(name: str, column: NDArray[np.float64]) -> Variable:
    seen = column[~np.isnan(column)]
    whole = bool((seen == np.floor(seen)).all()) and bool((seen >= 0).all())
    if not whole or seen.max(initial=1) >= MOST_STATES:
        return real(name)
    states = int(seen.max(initial=1)) + 1
    return binary(name) if states == 2 else categorical(name, states)


def device(name: str) -> str:
    """``auto``: CUDA where it is there."""
    import torch

    from pccompiler.torch_backend.runtime.devices import usable_device

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(usable_device(name))


def torch_values(folder: Path, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-likelihoods by the torch backend, in batches."""
    import torch

    import pccompiler as pc

    model: CompiledCircuit = pc.load(folder)
    with torch.no_grad():
        values: NDArray[np.float64] = model.log_likelihood(rows).double().numpy()
    return values


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def default(given: int | None, otherwise: int) -> int:
    """``given``, or ``otherwise`` where it is ``None``."""
    return otherwise if given is None else given


def statistics_table(circuit: Circuit) -> TextTable:
    """Counts of a circuit."""
    counts = circuit.statistics
    table = TextTable("", "", show_header=False)
    rows: list[tuple[str, object]] = [
        ("variables", counts.variables),
        ("nodes", counts.nodes),
        *((f"  {kind}", number) for kind, number in counts.kinds.items() if number),
        ("units", counts.units),
        ("edges", counts.edges),
        ("depth", counts.depth),
        ("weights", counts.weights),
        ("  entries", counts.weight_entries),
        ("sectors", 0 if circuit.sectors is None else len(circuit.sectors)),
    ]
    for name, number in rows:
        table.add_row(name, f"{number:,}")
    table.add_row("generator", "none" if circuit.generator is None else str(circuit.generator))
    table.add_row("fingerprint", circuit.fingerprint)
    return table


def sector_table(circuit: Circuit) -> TextTable:
    """The sectors by shape."""
    if circuit.sectors is None:
        raise OptionError.of(
            "PC311",
            "the circuit has no sectors",
            help="train it with a hypernetwork, or add a line 'sectors by=block' to its text",
        )
    shapes = np.stack([circuit.sectors.rows, circuit.sectors.columns], axis=1)
    distinct, number = np.unique(shapes, axis=0, return_counts=True)
    table = TextTable("shape", "sectors", "weights", title=f"by {circuit.sectors.by}")
    for (rows, columns), many in zip(distinct.tolist(), number.tolist(), strict=True):
        table.add_row(f"{rows} x {columns}", f"{many:,}", f"{many * rows * columns:,}")
    return table
