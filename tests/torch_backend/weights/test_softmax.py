"""Softmax in C and on CUDA against torch's in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pccompiler.torch_backend.runtime.c_compiler import load_c_if_any
from pccompiler.torch_backend.weights.selection import Selection
from pccompiler.torch_backend.weights.softmax_cpu import _SOURCE as SOFTMAX
from pccompiler.torch_backend.weights.softmax_cpu import lifted_softmax
from pccompiler.torch_backend.weights.softmax_cuda import softmax_on_cuda

Softmax = Callable[[Tensor, float], Tensor | None]


IN_C = pytest.mark.skipif(load_c_if_any(SOFTMAX, ()) is None, reason="no C compiler")
ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
BOTH = pytest.mark.parametrize(
    ("softmax", "device"),
    [
        pytest.param(lifted_softmax, "cpu", marks=IN_C),
        pytest.param(softmax_on_cuda, "cuda", marks=ON_CUDA),
    ],
    ids=["C", "CUDA"],
)


@BOTH
@pytest.mark.parametrize(
    "shape", [(4, 2), (7, 3, 5), (1, 50), (1000, 32), (5, 33), (6, 40, 256), (3, 1000), (2, 1024)]
)
@pytest.mark.parametrize(("spread", "floor"), [(0.1, 0.0), (3.0, 1e-12), (60.0, 1e-3)])
def test_weights_and_gradients(
    softmax: Softmax, device: str, shape: tuple[int, ...], spread: float, floor: float
) -> None:
    raw = (spread * torch.randn(shape, device=device)).requires_grad_()
    slope = torch.randn(shape, device=device)
    found = softmax(raw, floor)
    assert found is not None
    (own,) = torch.autograd.grad(found, raw, slope)
    exact = raw.detach().double().requires_grad_()
    want = (torch.softmax(exact, dim=-1) + floor) / (1.0 + shape[-1] * floor)
    (true,) = torch.autograd.grad(want, exact, slope.double())
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(own.double(), true, rtol=1e-5, atol=1e-6)


@BOTH
def test_zeros_and_tiny_numbers_stay(softmax: Softmax, device: str) -> None:
    raw = torch.tensor([[0.0, -torch.inf, -50.0, -95.0, -102.0, -200.0]], device=device)
    found = softmax(raw, 0.0)
    assert found is not None
    assert found[0, 1] == found[0, 5] == 0.0
    want = torch.exp(raw.double())[0, 2:5]
    torch.testing.assert_close(found[0, 2:5].double(), want, rtol=1e-5, atol=3e-45)


@BOTH
def test_other_tensors_are_left_to_torch(softmax: Softmax, device: str) -> None:
    assert softmax(torch.zeros(2, 3, dtype=torch.float64, device=device), 0.0) is None
    assert softmax(torch.zeros(0, 3, device=device), 0.0) is None
    assert softmax(torch.zeros(4, 1, device=device), 0.0) is None


@ON_CUDA
def test_rows_too_long_for_a_warp_are_left_to_torch() -> None:
    assert softmax_on_cuda(torch.zeros(2, 1025, device="cuda"), 0.0) is None


@pytest.mark.cpu
@IN_C
@given(
    matrices=st.integers(1, 40),
    rows=st.integers(1, 20),
    columns=st.sampled_from([2, 3, 7, 15, 16, 17, 31, 32, 33, 100, 256]),
    floor=st.sampled_from([0.0, 1e-12, 1e-3]),
    taken=st.floats(0.1, 1.0),
    spread=st.sampled_from([1.0, 30.0, 300.0]),
)
def test_weights_and_gradients_in_any_order(
    matrices: int, rows: int, columns: int, floor: float, taken: float, spread: float
) -> None:
    generator = torch.Generator(torch.get_default_device()).manual_seed(matrices)
    raw = spread * torch.randn(matrices, rows, columns, generator=generator)
    order = np.random.default_rng(rows).permutation(matrices)[: max(1, int(taken * matrices))]
    raw.requires_grad_()
    exact = raw.detach().double().requires_grad_()
    selection = Selection(order, matrices)
    found = lifted_softmax(raw, floor, selection)
    if found is None:  # short rows are reordered afterwards
        plain = lifted_softmax(raw, floor)
        assert plain is not None
        found = selection(plain)
    want = (exact.softmax(-1)[torch.from_numpy(order)] + floor) / (1.0 + columns * floor)
    above = torch.randn(found.shape, generator=generator)
    # Ten roundings of numbers up to 1; the exponent of e adds that of the argument.
    torch.testing.assert_close(found.double(), want, rtol=2e-6 + 1e-7 * spread, atol=1e-30)
    found.backward(above)
    want.backward(above.double())
    assert raw.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(raw.grad.double(), exact.grad, rtol=1e-3, atol=2e-6 + 1e-7 * spread)


@pytest.mark.cpu
@IN_C
def test_rows_that_repeat_are_left_to_torch() -> None:
    raw = torch.randn(3, 2, 20)
    assert lifted_softmax(raw, 0.0, Selection(np.array([0, 0, 1]), 3)) is None


@pytest.mark.cpu
@IN_C
def test_impossible_states_have_weight_zero() -> None:
    raw = torch.randn(2, 3, 40)
    raw[:, :, ::3] = -torch.inf
    found = lifted_softmax(raw, 0.0)
    assert found is not None
    torch.testing.assert_close(found, raw.softmax(-1))
    assert bool((found[:, :, ::3] == 0.0).all())


@pytest.mark.cpu
@IN_C
def test_rows_are_shared_out_among_threads() -> None:
    raw = torch.from_numpy(np.random.default_rng(0).normal(size=(50_001, 5)).astype(np.float32))
    found = lifted_softmax(raw, 0.0)
    assert found is not None
    torch.testing.assert_close(found, torch.softmax(raw, dim=-1), rtol=1e-6, atol=1e-7)
