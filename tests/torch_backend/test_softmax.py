"""Softmax in C against torch's in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.torch_backend.c_compiler import load_c
from pccompiler.torch_backend.kernel_files import KernelError
from pccompiler.torch_backend.selection import Selection
from pccompiler.torch_backend.softmax import lifted_softmax


@pytest.fixture(autouse=True, scope="module")
def needs_a_compiler() -> None:
    try:
        load_c("softmax.c", ())
    except KernelError as why:
        pytest.skip(str(why))


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
    generator = torch.Generator().manual_seed(matrices)
    raw = spread * torch.randn(matrices, rows, columns, generator=generator)
    order = np.random.default_rng(rows).permutation(matrices)[: max(1, int(taken * matrices))]
    raw.requires_grad_()
    exact = raw.detach().double().requires_grad_()
    selection = Selection(order, matrices)
    found = lifted_softmax(raw, floor, selection)
    if found is None:  # short rows: put in order afterwards
        plain = lifted_softmax(raw, floor)
        assert plain is not None
        found = selection(plain)
    want = (exact.softmax(-1)[torch.from_numpy(order)] + floor) / (1.0 + columns * floor)
    above = torch.randn(found.shape, generator=generator)
    # Ten roundings of numbers up to 1; the exponent of e brings the argument's.
    torch.testing.assert_close(found.double(), want, rtol=2e-6 + 1e-7 * spread, atol=1e-30)
    found.backward(above)
    want.backward(above.double())
    assert raw.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(raw.grad.double(), exact.grad, rtol=1e-3, atol=2e-6 + 1e-7 * spread)


def test_rows_that_repeat_are_left_to_torch() -> None:
    raw = torch.randn(3, 2, 20)
    assert lifted_softmax(raw, 0.0, Selection(np.array([0, 0, 1]), 3)) is None
    assert lifted_softmax(raw.double(), 0.0) is None
    assert lifted_softmax(raw[:0], 0.0) is None


def test_impossible_states_have_weight_zero() -> None:
    raw = torch.randn(2, 3, 40)
    raw[:, :, ::3] = -torch.inf
    found = lifted_softmax(raw, 0.0)
    assert found is not None
    torch.testing.assert_close(found, raw.softmax(-1))
    assert bool((found[:, :, ::3] == 0.0).all())
