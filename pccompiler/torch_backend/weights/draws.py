"""The random numbers that parameters start from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


def draws(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Iterator[tuple[str, Tensor]]:
    """The random numbers of each parameter, as the paper's authors draw them.

    Embeddings and logits are uniform on [0, 1], linear layers torch's default. Drawn on the CPU in
    float64, so that one seed gives one model on every device and in every precision.

    Args:
        shapes: Of the parameters, by name. They are drawn in alphabetical order.
        seed: Of all of them.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    for name, shape in sorted(shapes.items()):
        draw = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
        if name.endswith(("_weight", "_bias")):
            layer = name.removesuffix("_bias").removesuffix("_weight")
            draw = (2.0 * draw - 1.0) / math.sqrt(shapes[f"{layer}_weight"][1])
        elif name.startswith(("leaf_gaussian", "leaf_laplace")):
            draw[..., 0] = 4.0 * draw[..., 0] - 2.0
            draw[..., 1] = 0.0
        elif name.startswith("leaf_"):
            draw = 2.0 * draw - 1.0
        yield name, draw
