"""Readers without files: graphs, objects of other packages, pipelines, command lines.

Each function makes a damaged object from a random generator (or a text), and reads it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.passes import verify
from pccompiler.testing.mutants import pick

ODD_VALUES: tuple[Any, ...] = (  # deliberately of any type
    *(None, True, -1, 0, 1, 2, 7, 10**6, 10**10, 10**400, -0.5, 0.5, 1e-320, 1e308, 1e400),
    *(float("nan"), float("-inf"), "", "x", "rain", "sum", "input", "\0", "²", "1", "a b", b"x"),
    *([], {}, (), [1, 2], [[0.5]], ["a"], [None], {"a": 1}, {1}, frozenset({1}), range(3)),
    *(np.float32(0.5), np.int64(1), np.array(0.5), np.array([0.5, 0.5]), np.array(["a"])),
    *(Fraction(1, 2), Decimal("NaN"), Decimal("0.5"), 1j, object(), len, int, np.bool_(True)),
)


def odd(rng: np.random.Generator) -> Any:  # of any type
    """One odd value."""
    return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]


def run_words(text: str) -> Circuit | None:
    """A pipeline, and evidence, as text: parsed, and run on a small circuit."""
    from pccompiler.passes import PassManager

    manager = PassManager.parse(text)
    from pccompiler.testing import random_circuit

    manager(random_circuit(np.random.default_rng(0), 3))
    return None


def run_graph(rng: np.random.Generator) -> Circuit:
    """A graph with odd attributes, keys or edges."""
    import networkx  # type: ignore[import-untyped]  # no stubs

    from pccompiler.ir.networks.read import from_networkx

    graph: Any = networkx.DiGraph()  # it has no type stubs
    graph.add_node("mild", variable="rain", p=0.1)
    graph.add_node("wild", variable="rain", family="categorical", parameters=[0.2, 0.8])
    graph.add_node("on", variable="wet", value=1)
    graph.add_node("any", variable="wet", p=0.5)
    graph.add_edges_from([("p", "mild"), ("p", "on"), ("q", "wild"), ("q", "any")])
    graph.nodes["p"]["kind"] = graph.nodes["q"]["type"] = "product"
    graph.add_edge("weather", "p", weight=0.75)
    graph.add_edge("weather", "q", weight=0.25)
    options: dict[str, Any] = {}
    for _ in range(int(rng.integers(1, 4))):
        _spoil_graph(graph, options, rng)
    circuit = from_networkx(graph, **options)
    verify(circuit)  # this is what refuses invalid parameters
    return circuit


def _spoil_graph(graph: Any, options: dict[str, Any], rng: np.random.Generator) -> None:
    nodes, edges = list(graph.nodes), list(graph.edges)
    node = nodes[int(rng.integers(len(nodes)))]
    edge = edges[int(rng.integers(len(edges)))] if edges else None
    kind = int(rng.integers(8))
    if kind < 3:
        names = ["kind", "type", "variable", "family", "parameters", "p", "value", "shares", "name"]
        graph.nodes[node][pick(names, rng)] = odd(rng)
    elif kind == 3 and edge:
        graph.edges[edge]["weight"] = odd(rng)
    elif kind == 4:
        graph.graph[pick(["variables", "root", "log_scale"], rng)] = odd(rng)
    elif kind == 5:
        options[pick(["root", "variables"], rng)] = odd(rng)
    elif kind == 6:
        with contextlib.suppress(TypeError, ValueError):  # for objects that cannot be nodes
            graph.add_edge(node, odd(rng))
    elif edge:
        graph.remove_edge(*edge)


def _kind(package: str, name: str) -> type:
    return type(name, (SimpleNamespace,), {"__module__": f"{package}.structure.Base"})


def run_object(rng: np.random.Generator) -> Circuit:
    """An SPFlow circuit of stand-ins, with an odd attribute."""
    from pccompiler.imports import from_spflow

    def make(name: str, **attributes: Any) -> Any:
        return _kind("spn", name)(**attributes)

    real = SimpleNamespace(name="REAL")
    nodes = [
        make("Bernoulli", scope=[0], p=0.25),
        make("Categorical", scope=[1], p=[0.5, 0.25, 0.25]),
        make("Gaussian", scope=[2], mean=0.0, stdev=2.0),
        make("Histogram", scope=[3], breaks=[0, 1, 2], densities=[0.5, 0.5], meta_type=real),
        make("Poisson", scope=[4], mean=1.5),
    ]
    product = make("Product", scope=[0, 1, 2, 3, 4], children=nodes)
    root = make("Sum", scope=product.scope, children=[product, product], weights=[0.5, 0.5])
    nodes = [*nodes, product, root]
    for _ in range(int(rng.integers(1, 3))):
        node = nodes[int(rng.integers(len(nodes)))]
        name = pick(list(vars(node)), rng)
        if rng.random() < 0.15:
            delattr(node, name)
        elif rng.random() < 0.3 and isinstance(vars(node)[name], list) and vars(node)[name]:
            items = getattr(node, name)
            items[int(rng.integers(len(items)))] = odd(rng)
        else:
            setattr(node, name, odd(rng))
    return from_spflow(root)


_NUMBERS = ("-1", "0", "1", "1.5", "2", "nan", "", "x", "1e3", "9" * 5000, "0x10", "٣", " 1")
_FILES = (
    *("a.pcir", "b.pcir", "bytes.pcir", "a.csv", "b.csv", "a.npz", "a.npy", "a.onnx", "a.bif"),
    *(
        ".",
        "..",
        "none",
        "",
        "n" * 5000,
        "a.txt",
        "/dev/null",
        "/dev/zero",
        "pipe.pcir",
        "pipe.csv",
    ),
    *("pipe.npy", "pipe.bif", "pipe.onnx", "-", "~", "nltcs2", "a.gz", "pipe.gz", "pipe.npz"),
)
_WORDS = ("prune", "check,", "condition{evidence=x0:9}", "{", "", "sectors{size=0}", "square" * 99)
_SLOTS = {
    "MODEL": ("b.pcir", _FILES),
    "ROWS": ("a.csv", _FILES),
    "N": ("2", _NUMBERS),
    "RATE": ("0.01", _NUMBERS),
    "PASSES": ("prune", _WORDS),
    "WIDTHS": ("4x4", (*_WORDS, *_NUMBERS)),
    "PART": ("ir", _WORDS),
}
"""Values for an argument of a command: a valid one, and odd ones."""
_COMMANDS = (
    "check MODEL", "show MODEL --part PART", "opt MODEL --passes PASSES",
    "import MODEL --out out.pcir --check-data ROWS", "import a.bif --out out.pcir --vtree MODEL",
    "score MODEL ROWS --out out.npy --batch-size N", "score MODEL ROWS --out out.csv",
    "query MODEL ROWS", "query a.onnx ROWS", "sample MODEL N --seed N",
    "sample MODEL N --given ROWS", "complete MODEL ROWS", "marginals MODEL ROWS",
    "properties MODEL --with MODEL", "properties MODEL --vtree --json", "export MODEL out.onnx",
    "train --data ROWS --out out --steps N --seed N --units N --replicas N --device cpu",
    "train --data ROWS --out out --circuit MODEL --steps 1 --batch-size N --device cpu",
    "train --data ROWS --out out --steps 1 --hidden WIDTHS --embedding N --learning-rate RATE "
    "--patience N --evaluate-every N --weight-decay RATE --depth N --device cpu",
)  # fmt: skip


def run_command(rng: np.random.Generator, folder: Path, *texts: str | bytes) -> None:
    """A command with odd arguments, in a folder with odd files.

    Raises:
        AssertionError: If it ends without an exit code, or shows a traceback.
    """
    from pccompiler import cli

    _prepare(folder, *texts)
    words = pick(_COMMANDS, rng).split()
    given = [_SLOTS[word][0] if word in _SLOTS else word for word in words]
    places = [i for i, word in enumerate(words) if word in _SLOTS]
    if places and rng.random() < 0.9:
        place = places[int(rng.integers(len(places)))]
        given[place] = pick(_SLOTS[words[place]][1], rng)
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(folder)
    try:
        with (
            mock.patch.object(sys, "argv", ["pccompiler", *given]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            cli.main()
    except SystemExit as stop:
        if stop.code in (0, None):
            return
        shown = err.getvalue()
        coded = "error[PC" in shown or "Usage:" in shown  # of typer, whose code is 2
        if not coded or "Traceback" in shown:
            raise AssertionError(f"{given}: exit {stop.code}: {shown[-300:]}") from None
        from pccompiler.errors import OptionError

        raise OptionError.of("PC000", "refused") from None
    except Exception as error:
        raise AssertionError(
            f"{[g[:30] for g in given]}: {type(error).__name__}: {error}"
        ) from error
    finally:
        os.chdir(before)


def _prepare(folder: Path, *texts: str | bytes) -> None:
    if (folder / "pipe.npz").exists():
        return
    for name, text in zip(("a.pcir", "b.pcir"), texts, strict=True):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "bytes.pcir").write_bytes(b"pcir 1\n\xff\xfe\x00")
    (folder / "a.csv").write_text("0,1,0\n1,0,1\n,1,\n0,0,0\n1,1,1\n0,1,1\n1,1,0\n1,0,0\n" * 4)
    (folder / "b.csv").write_text("a,b\n1,x\n")
    np.savez(folder / "a.npz", train=np.eye(3), valid=np.array([[0, np.inf, 1]]))
    np.save(folder / "a.npy", np.array([[0.0, 1.0, np.nan]]))
    for name in ("a.onnx", "a.bif", "a.gz", "a.txt"):
        (folder / name).write_bytes(b"\x1f\x8b\x08 variable")
    for ending in ("pcir", "csv", "npy", "bif", "onnx", "gz", "npz"):
        os.mkfifo(folder / f"pipe.{ending}")
