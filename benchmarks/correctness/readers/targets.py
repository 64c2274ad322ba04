"""All readers, with small valid content for each, and ways to damage it.

``tests/fuzz`` and ``benchmarks.correctness.fuzz_readers`` share these. A target writes no file
outside of its folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.correctness.fuzz_rewrites import values
from benchmarks.correctness.readers import arrays, models, texts
from benchmarks.correctness.readers.arguments import run_command, run_graph, run_object, run_words
from pccompiler.errors import PCCompilerError
from pccompiler.ir import Circuit
from pccompiler.passes import verify
from pccompiler.testing.mutants import mutated_text

Rng = np.random.Generator
Mutate = Callable[[bytes, Rng], bytes]
Read = Callable[[bytes, Path], object]
FUZZ_LIMITS = {"variables": 300, "states": 64, "nodes": 5000, "edges": 50_000}
"""Low limits, so that large numbers are refused quickly."""
MASS = 1e-4
"""Weights may have errors of 1e-6 in each of the few levels of these circuits."""


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        seeds: Valid content.
        mutate: Damages content.
        read: Reads content, with a folder to write it to; a `Circuit` is checked further.
    """

    seeds: Callable[[], list[bytes]]
    mutate: Mutate
    read: Read


def outcome(target: Target, seed: int, number: int, folder: Path) -> tuple[str, str]:
    """``accepted``, ``refused`` or ``wrong``, and why.

    Refused means with a coded error. A circuit that is accepted passes the check, and its mass is
    1, or what its ``log_scale`` says.
    """
    rng = np.random.default_rng([seed, number])
    seeds = target.seeds()
    content = target.mutate(seeds[int(rng.integers(len(seeds)))], rng)
    try:
        found = target.read(content, folder)
    except PCCompilerError as error:
        coded = error.diagnostics and all(d.code.startswith("PC") for d in error.diagnostics)
        return ("refused", error.diagnostics[0].code) if coded else ("wrong", "no code")
    except Exception as error:  # users must not see this
        return "wrong", f"{type(error).__name__}: {str(error)[:200]}"
    return _judged(found) if isinstance(found, Circuit) else ("accepted", "")


def _judged(circuit: Circuit) -> tuple[str, str]:
    try:
        verify(circuit)
    except PCCompilerError as error:
        return "wrong", f"accepted, but {error}"
    missing = np.full((1, len(circuit.variables)), np.nan)
    known = len(circuit.weights.values) == len(circuit.weights.rows)
    if not known or circuit.num_nodes > 500 or circuit.units.sum() > 10_000:
        return "accepted", "too large to sum"
    mass = float(values(circuit.replace(log_scale=0.0), missing)[0])
    right = abs(mass - 1.0) < MASS
    return ("accepted", "") if right else ("wrong", f"accepted with mass {mass}")


def _file(name: str, read: Callable[[Path], object]) -> Read:
    def run(content: bytes, folder: Path) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return run


def _text(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


def _words(content: bytes, folder: Path) -> object:
    return run_words(content.decode("utf-8", "surrogateescape"))


def _choice(content: bytes, rng: Rng) -> bytes:
    """The number of a mutant, from which the target makes its objects."""
    return str(int(rng.integers(2**60))).encode()


def _graph(content: bytes, folder: Path) -> object:
    return run_graph(np.random.default_rng(int(content)))


def _object(content: bytes, folder: Path) -> object:
    return run_object(np.random.default_rng(int(content)))


def _command(content: bytes, folder: Path) -> object:
    run_command(np.random.default_rng(int(content)), folder, texts.STATEMENTS, texts.circuits()[0])
    return None


TARGETS: dict[str, Target] = {
    "pcir": Target(texts.circuits, mutated_text, _file("a.pcir", texts.checked_text)),
    "weights file": Target(models.weights, models.safetensors_mutant, models.beside),
    "psdd": Target(_text(texts.PSDD), mutated_text, _file("a.psdd", texts.imported)),
    "psdd with vtree": Target(_text(f"{texts.PSDD}---\n{texts.VTREE}"), mutated_text, texts.psdd),
    "sdd": Target(_text(texts.SDD), mutated_text, _file("b.sdd", texts.imported)),
    "sdd with vtree": Target(_text(f"{texts.SDD}---\n{texts.VTREE}"), mutated_text, texts.sdd),
    "ddnnf": Target(_text(texts.D4), mutated_text, _file("a.ddnnf", texts.imported)),
    "nnf": Target(_text(texts.NNF), mutated_text, _file("a.nnf", texts.imported)),
    "spn": Target(_text(texts.SPN), mutated_text, _file("a.spn", texts.imported)),
    "bif": Target(_text(texts.BIF), mutated_text, _file("a.bif", texts.imported)),
    "gz": Target(texts.gz_seeds, texts.gz_mutant, _file("a.spn.gz", texts.imported)),
    "vtree": Target(_text(texts.VTREE), mutated_text, _file("c.vtree", texts.vtree)),
    "vtree of passes": Target(
        _text(texts.VTREE), mutated_text, _file("c.vtree", texts.passes_vtree)
    ),
    "npz": Target(arrays.npz, arrays.npz_mutant, _file("a.npz", arrays.load_data)),
    "npy": Target(arrays.npy, arrays.npy_mutant, _file("a.npy", arrays.stream)),
    "csv": Target(_text(texts.CSV), mutated_text, _file("a.csv", arrays.load_data)),
    "csv in blocks": Target(_text(texts.CSV), mutated_text, _file("a.csv", arrays.stream)),
    "text of a data set": Target(_text("0,1\n1,1\n"), mutated_text, _file("a.data", arrays.debd)),
    "checkpoint": Target(lambda: [b""], models.checkpoint_mutant, models.load_checkpoint),
    "onnx": Target(models.exported, models.exported_mutant, _file("a.onnx", models.answer)),
    "pipelines and evidence": Target(_text(*texts.WORDS), mutated_text, _words),
    "networkx": Target(lambda: [b""], _choice, _graph),
    "objects": Target(lambda: [b""], _choice, _object),
    "command line": Target(lambda: [b""], _choice, _command),
}
