"""Another package adds a pass, a structure, an importer and an ONNX query: a file each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.imports.read import read
from pccompiler.ir import binary, to_text
from pccompiler.passes import PassManager
from pccompiler.passes.registry import PASSES
from pccompiler.structures.registry import make

Install = Callable[..., None]
Run = Callable[..., tuple[int, str, str]]

PASS = '''
from dataclasses import dataclass
from typing import ClassVar
from pccompiler.passes import Pass

@dataclass(frozen=True)
class Same(Pass):
    """Change nothing."""

    name: ClassVar[str] = "same"
    loudly: bool = False

    def run(self, circuit):
        return circuit
'''
STRUCTURE = """
from pccompiler.ir import Builder

def independent(variables, units):
    b = Builder(variables)
    return b.build(b.product([b.bernoulli(v, units=1) for v in range(len(variables))]))
"""
IMPORTER = """
from pathlib import Path
from pccompiler.ir import Builder

def read_coins(path):
    b = Builder()
    chances = [float(word) for word in Path(path).read_text().split()]
    leaves = [b.bernoulli(b.binary(f"coin{i}"), [p]) for i, p in enumerate(chances)]
    return b.build(b.product(leaves))
"""
QUERY = """
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.onnx_backend.queries import OnnxQuery

def write(lowering, x, output):
    lowering.run(x, "log")
    lowering.graph.op("Neg", "log", name=output)

def define(plan, weights, rows):
    values, allowed = bounded_log_likelihood(plan, weights, rows)
    return -values, allowed

SURPRISE = OnnxQuery(description="Negative log-likelihood, in nats.", write=write, define=define)
WRONG = OnnxQuery(description="Not what it says.", write=write, define=bounded_log_likelihood)
"""


def test_a_pass(install: Install, run: Run) -> None:
    install("own_pass", "pccompiler.passes", {"same": "own_pass:Same"}, PASS)
    circuit = pc.hmm(3, 2)
    assert PassManager.parse("same{loudly=true}")(circuit) is circuit
    assert "Change nothing." in run("passes")[1]
    assert list(PASSES)[-1] == "same"
    install("broken", "pccompiler.passes", {"bad": "broken:Bad"}, "raise ImportError('no lib')")
    assert "Change nothing." in run("passes")[1]


def test_a_structure(install: Install, run: Run, tmp_path: Path) -> None:
    install("own_mix", "pccompiler.structures", {"alone": "own_mix:independent"}, STRUCTURE)
    assert make("alone", [binary("a"), binary("b")], units=3, seed=0).num_nodes == 3
    with pytest.raises(OptionError, match="PC793"):
        make("alnoe", [binary("a")])
    table = tmp_path / "t.csv"
    table.write_text("a,b\n" + "0,1\n1,0\n1,1\n" * 10)
    words = ["--data", table, "--out", tmp_path / "m", "--structure", "alone", "--steps", 2]
    code, _, errors = run("train", *map(str, words), "--weights", "direct", "--device", "cpu")
    assert (code, errors) == (0, "")


def test_an_importer(install: Install, tmp_path: Path, run: Run) -> None:
    install("own_coins", "pccompiler.importers", {"coins": "own_coins:read_coins"}, IMPORTER)
    file = tmp_path / "two.coins"
    file.write_text("0.25 0.5\n")
    circuit = read(file)
    assert [v.name for v in circuit.variables] == ["coin0", "coin1"]
    code, out, _ = run("show", file, "--part", "ir")
    assert (code, out) == (0, to_text(circuit))


def test_an_onnx_query(install: Install, tmp_path: Path) -> None:
    entries = {"surprise": "own_query:SURPRISE", "wrong": "own_query:WRONG"}
    install("own_query", "pccompiler.onnx_queries", entries, QUERY)
    model = pc.compile(pc.hmm(3, 2), seed=0)
    path = pc.export_onnx(model, tmp_path / "m.onnx", query="surprise").path
    loaded = pc.OnnxModel(path)
    rows = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(loaded.answer(rows), -model.log_likelihood(rows).detach(), rtol=1e-5)
    with pytest.raises(OptionError, match="PC795"):
        loaded.log_likelihood(rows)
    with pytest.raises(OptionError, match="PC794"):
        pc.export_onnx(model, path, query="surpirse")
    with pytest.raises(pc.errors.ExportError, match="PC601"):
        pc.export_onnx(model, tmp_path / "w.onnx", query="wrong")
