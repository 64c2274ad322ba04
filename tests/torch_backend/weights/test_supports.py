"""Supports in torch against their definition in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pccompiler.ir.families.supports import unit_interval
from pccompiler.torch_backend.weights.supports import UnitInterval

LOGITS = (0.0, 1.0, 9.21, 12.2, 16.118, 20.0, 100.0, 1e4, math.inf)
PLACES = [sign * logit for logit in LOGITS for sign in (-1.0, 1.0)]


@pytest.mark.parametrize("floor", [1e-12, 1e-3])
def test_logarithms_of_both_outcomes_keep_their_digits(floor: float) -> None:
    raw = torch.tensor(PLACES, device="cpu").unsqueeze(1)
    found = UnitInterval().log_constrain(raw, floor)
    one = unit_interval.constrain(raw.double().numpy(), floor)
    zero = unit_interval.constrain(-raw.double().numpy(), floor)
    logs = [np.where(p > 0.5, np.log1p(-q), np.log(p)) for p, q in ((zero, one), (one, zero))]
    np.testing.assert_allclose(found.numpy(), np.concatenate(logs, axis=1), rtol=2e-7)
    np.testing.assert_allclose(found.exp().sum(1).numpy(), 1.0, rtol=2e-7)


@pytest.mark.parametrize("floor", [1e-12, 1e-3])
def test_gradients_of_the_logarithms(floor: float) -> None:
    for outcome, sign in ((0, -1.0), (1, 1.0)):
        raw = torch.tensor(PLACES, dtype=torch.float64).unsqueeze(1).requires_grad_()
        logs = UnitInterval().log_constrain(raw, floor)[:, outcome]
        (found,) = torch.autograd.grad(logs.sum(), raw)
        side, other = torch.sigmoid(sign * raw), torch.sigmoid(-sign * raw)
        want = sign * side * other / (side + floor)
        torch.testing.assert_close(found, want.detach())
