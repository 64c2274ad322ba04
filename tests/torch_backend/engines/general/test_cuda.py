"""The CUDA kernels of the general engine, compiled as C++ and run on a CPU."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Circuit
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend.engines.base import Evaluate
from pccompiler.torch_backend.engines.differentiable import evaluate
from pccompiler.torch_backend.engines.general import cuda
from pccompiler.torch_backend.engines.general.cuda import GeneralOnCUDA
from pccompiler.torch_backend.engines.general.engine import General
from pccompiler.torch_backend.engines.questions import QUERIES, Batch, Task, Wanted
from pccompiler.torch_backend.runtime.nvrtc import Argument, Long, Struct
from pccompiler.torch_backend.weights.weights import Weights

_HERE = Path(__file__).parent


class Emulated(GeneralOnCUDA):
    """Launches the kernels thread by thread, in blocks in which no thread waits for another."""

    name = "general-emulated"
    only_device = "cpu"
    warp = 1

    def load(self, weights: Weights, rest: Evaluate) -> None:
        General.load(self, weights, rest)
        self.library = _library(self.target.dtype)

    def launch(
        self, name: str, grid: tuple[int, int], threads: int, arguments: Sequence[Argument]
    ) -> None:
        first = arguments[0]
        if name in ("up", "best_up", "down", "choose_down") and isinstance(first, Struct):
            threads = int(getattr(first.value, "rows"))  # noqa: B009  # a field of a structure
        elif name in ("sorted", "sum_gradients"):
            threads = 1
        sizes = (ctypes.c_int * 3)(*grid, threads)
        getattr(self.library, f"run_{name}")(sizes, *map(_passed, arguments))


def _passed(argument: Argument) -> object:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, Struct):
        return argument.value
    return ctypes.c_int64(argument) if isinstance(argument, Long) else argument


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler emulates the kernels")
    parts = [_HERE / "emulator.hpp", cuda._SOURCE, _HERE / "emulator.cpp"]
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "all.cpp", Path(folder) / "all.so"
        source.write_text("\n".join(part.read_text() for part in parts))
        names = cuda.defines_for(dtype)
        defines = [f"-D{name}={value}" for name, value in names]
        command = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", *defines, str(source)]
        subprocess.run([*command, "-o", str(out)], check=True)
        return ctypes.CDLL(str(out))


LIMITS = {"float32": 2e-4, "float64": 1e-8}


def emulated(model: pc.CompiledCircuit) -> Emulated:
    found = Emulated.match(model.plan, model.engines.target, Wanted.GRADIENT)
    assert isinstance(found, Emulated)
    found.load(model.weights, lambda x, _: x)
    return found


def compare(circuit: Circuit, dtype: pc.api.Dtype, seed: int) -> None:
    """Values, gradients and counts beside the C code's."""
    model = pc.compile(circuit, dtype=dtype)
    if model.engines.choose(Wanted.COUNTS).name != "general-cpu":
        pytest.skip("no C compiler")
    engine, limit = emulated(model), LIMITS[dtype]
    x = torch.from_numpy(rows(circuit, seed)).to(model.dtype)
    own = evaluate(engine, Batch(x), model.weights, Wanted.GRADIENT)
    other = evaluate(
        model.engines.choose(Wanted.GRADIENT), Batch(x), model.weights, Wanted.GRADIENT
    )
    torch.testing.assert_close(own, other, rtol=limit, atol=limit)
    parameters = list(model.parameters())
    for found, want in zip(
        *(
            torch.autograd.grad(value[value.isfinite()].sum(), parameters, allow_unused=True)
            for value in (own, other)
        ),
        strict=True,
    ):
        torch.testing.assert_close(found, want, rtol=limit, atol=limit)
    if any(group.generated for group in model.plan.groups):
        return
    shares = torch.linspace(0.5, 1.5, len(x), dtype=model.dtype)
    operands = engine.operands(Batch(x), model.weights)
    counted = []
    for each in (engine, model.engines.choose(Wanted.COUNTS)):
        _, ascent = each.up(Batch(x), operands, Wanted.COUNTS)
        counted.append(each.down(ascent, Task(shares, Wanted.COUNTS)).operands)
    for found, want in zip(*counted, strict=True):
        torch.testing.assert_close(found, want, rtol=limit, atol=limit)


def compare_queries(circuit: Circuit, dtype: pc.api.Dtype, seed: int) -> None:
    """Posteriors, draws and best trees beside the C code's."""
    model = pc.compile(circuit, dtype=dtype)
    other, limit = model.engines.choose(Wanted.DRAWS), LIMITS[dtype]
    if other.name != "general-cpu":
        pytest.skip("no C compiler")
    engine = emulated(model)
    x = torch.from_numpy(rows(circuit, seed, missing=0.3)).to(model.dtype)
    x = x[model.log_likelihood(x).isfinite()]
    if not len(x):
        return
    for wanted in QUERIES:
        some, draws = (x[:1], 50) if wanted is Wanted.DRAWS else (x, len(x))
        answers = []
        for each in (engine, other):
            operands = engine.operands(Batch(some), model.weights)
            value, ascent = each.up(Batch(some), operands, wanted)
            generator = torch.Generator().manual_seed(seed)
            task = Task(value.new_ones(draws), wanted, generator)
            answers.append((value, each.down(ascent, task)))
        (own, found), (value, want) = answers
        torch.testing.assert_close(own, value, rtol=limit, atol=limit)
        if wanted is Wanted.POSTERIOR:
            assert found.leaves.keys() == want.leaves.keys()
            for number, flow in want.leaves.items():
                torch.testing.assert_close(found.leaves[number], flow, rtol=limit, atol=limit)
            continue
        assert found.chosen is not None
        assert want.chosen is not None
        alike = (found.chosen == want.chosen).float().mean()
        assert alike == 1.0 if dtype == "float64" else alike > 0.9  # ties are rounded either way


@settings(max_examples=30)
@given(circuit=circuits(reals=True), seed=st.integers(0, 9))
@pytest.mark.parametrize("dtype", list(LIMITS))
@pytest.mark.parametrize("levels", ["at once", "one by one"])
def test_random_circuits(circuit: Circuit, seed: int, dtype: pc.api.Dtype, levels: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "_LAUNCH", 0.0 if levels == "one by one" else 1e9)
        compare(circuit, dtype, seed)
        compare_queries(circuit, dtype, seed)


@pytest.mark.parametrize("dtype", list(LIMITS))
def test_wide_sums_shared_weights_and_sectors(dtype: pc.api.Dtype) -> None:
    for circuit in (pc.hmm(5, 19), pc.hmm(40, 3), pc.rat_spn(6, 2, 9, seed=0)):
        compare(circuit, dtype, 0)
        compare_queries(circuit, dtype, 0)
    generated = pc.rat_spn(6, 2, 9, seed=0).replace(generator=pc.Hypernetwork(hidden=(4,)))
    compare(generated, dtype, 0)
    compare_queries(generated, dtype, 0)
