"""Models with their own sectors: evaluation, training, checkpoints and ONNX, against the oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.ir import Circuit, Direct, Generator, Hypernetwork, parse, real
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.sectors import partition
from pccompiler.onnx_backend import OnnxModel
from pccompiler.testing.strategies import rows
from pccompiler.torch_backend import CompiledCircuit
from tests.ir.test_own_sectors import random_cut

CIRCUITS = {
    "tree": lambda: pc.rat_spn(16, 4, 4),
    "odd": lambda: pc.rat_spn(13, 3, 3),
    "leaves": lambda: pc.rat_spn(9, 3, 3, leaf="bernoulli"),
    "hmm": lambda: pc.hmm(8, 3),
    "reals": lambda: pc.rat_spn([real("a"), real("b"), real("c")], 3, 2),
}
GENERATORS: dict[str, Generator] = {
    "net": Hypernetwork(),
    "slice": Hypernetwork(heads="slice"),
    "reference": Hypernetwork(allocation="reference"),
    "direct": Direct(allocation="reference"),
}


def cut(name: str, generator: str, seed: int = 0) -> Circuit:
    return partition(CIRCUITS[name](), random_cut(seed)).replace(generator=GENERATORS[generator])


def oracle(model: CompiledCircuit, x: np.ndarray) -> np.ndarray:
    weights = materialize(model.plan, lay_out(model.plan), model.parameters_as_numpy())
    return log_likelihood(model.plan, weights, x)


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_everything_agrees_with_the_oracle(name: str, generator: str, tmp_path: Path) -> None:
    circuit = cut(name, generator)
    x = rows(circuit, seed=1, number=40).astype(np.float32).astype(np.float64)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 5e-6)):  # rounding of each precision
        model = pc.compile(circuit, dtype=dtype)  # type: ignore[call-overload]  # from a tuple
        got = model.log_likelihood(x).detach().double().cpu().numpy()
        np.testing.assert_allclose(got, oracle(model, x), rtol=tolerance, atol=tolerance)
    report = pc.export_onnx(model, tmp_path / "m.onnx")
    found = OnnxModel(report.path).log_likelihood(x)
    np.testing.assert_allclose(found, oracle(model, x), rtol=1e-5, atol=1e-5)
    again = pc.load(pc.save(model, tmp_path / "m"))
    assert again.circuit == model.circuit
    assert torch.equal(again.log_likelihood(x), model.log_likelihood(x))


@pytest.mark.parametrize("generator", ["net", "direct"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_training(name: str, generator: str, tmp_path: Path) -> None:
    circuit = cut(name, generator, seed=3)
    x = rows(circuit, seed=2, number=60)
    model = pc.compile(circuit)
    before = float(model.log_likelihood(x).detach().mean())
    pc.fit(model, x, steps=30, learning_rate=1e-2)
    with torch.no_grad():
        got = model.log_likelihood(x).double().cpu().numpy()
    assert got.mean() > before
    np.testing.assert_allclose(got, oracle(model, x), rtol=5e-6, atol=5e-6)
    pc.export_onnx(model, tmp_path / "m.onnx")


def test_within_a_memory_budget() -> None:
    """Blocks that are not whole weights cannot be generated layer by layer."""
    for seed in range(4):
        circuit = cut("tree", "net", seed)
        x = rows(circuit, seed=1, number=40)
        plain = pc.compile(circuit, dtype="float64")
        tight = pc.compile(circuit, dtype="float64", memory_budget="2 MiB")
        np.testing.assert_allclose(
            tight.log_likelihood(x).detach().cpu(),
            plain.log_likelihood(x).detach().cpu(),
            rtol=1e-12,
        )


def test_whole_weights_beside_pieces_of_their_group() -> None:
    """Weights of one shape, one whole and one in pieces, whose sectors happen to be in order."""
    text = (
        "pcir 1\nvariable x binary\n%x = input x indicator 2\n%y = input x bernoulli 2 @y\n"
        "%s = sum 4 %x @s\n%t = sum 4 %y @t\n%root = sum 1 %s %t @r\nroot %root\nsectors by=own\n"
        "sector @s 0 2 2\nsector @s 4 2 2\nsector @t 0 4 2\ngenerator hypernetwork\n"
    )
    model = pc.compile(parse(text), dtype="float64")
    x = np.array([[0.0], [1.0], [np.nan]])
    np.testing.assert_allclose(model.log_likelihood(x).detach().cpu(), oracle(model, x), rtol=1e-12)
