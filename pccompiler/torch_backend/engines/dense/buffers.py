"""What the dense engine's kernels read and write."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor


class Kept(NamedTuple):
    """What a forward pass leaves; the module `kernels` describes the layouts."""

    codes: Tensor
    values: Tensor
    scales: Tensor
    terms: Tensor
    tops: Tensor


class Lookup(NamedTuple):
    """Lists on the device: starts and items."""

    starts: Tensor
    items: Tensor


Precision = Literal["ieee", "tf32", "bf16"]
"""How matrix products round their operands: not, to 11 digits, to 8. All add up in float32."""
