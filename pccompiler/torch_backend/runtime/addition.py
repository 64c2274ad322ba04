"""Accurate sums of many float32 numbers on any device.

When equal numbers are added one after another, rounding errors accumulate in one direction: the
relative error for 100,000 logarithms of 0.5 is 1e-3. Here halves are added pairwise six times, and
the rest is added in float64. A result goes through at most seven roundings of float32, so with unit
roundoff ``u = 2**-24`` its error is at most ``7 u < 4.2e-7`` times the sum of the absolute values,
for any number of terms (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section
4.2). Adding `FEW_OPERANDS` terms one after another stays within the same bound.
"""

from __future__ import annotations

import torch
from torch import Tensor

_HALVINGS = 6


def add_up(terms: Tensor) -> Tensor:
    """The sum over the first axis, in the precision of ``terms``, which is not modified."""
    if terms.dtype == torch.float64:
        return terms.sum(0)
    total = _halved(terms, torch.empty_like(terms[: (len(terms) + 1) // 2]))
    for _ in range(_HALVINGS - 1):
        if len(total) == 1:
            return total[0]
        total = _halved(total, total[: (len(total) + 1) // 2])
    return total.sum(0, dtype=torch.float64).to(terms.dtype)


def _halved(terms: Tensor, out: Tensor) -> Tensor:
    """Add pairs into ``out``, which may be the first half of ``terms``; an odd term is kept."""
    pairs = len(terms) // 2
    torch.add(terms[:pairs], terms[len(out) :], out=out[:pairs])
    if len(out) > pairs and out.data_ptr() != terms.data_ptr():
        out[pairs] = terms[pairs]
    return out
