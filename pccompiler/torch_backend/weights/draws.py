"""Random initial parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.leaves.registry import leaf_of


def draws(
    plan: Plan, shapes: Mapping[str, tuple[int, ...]], seed: int
) -> Iterator[tuple[str, Tensor]]:
    """The initial value of each parameter, drawn as the paper's authors do.

    Logits are uniform on [0, 1], leaves use `TorchLeaf.random`, and parameters of a generator
    `pccompiler.ir.Generator.start`. Drawn on the CPU in float64, so that one
    seed gives one model on every device and in every precision.

    Args:
        plan: The plan that has the parameters.
        shapes: Parameter name to shape. They are drawn in alphabetical order.
        seed: Seed of all draws.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    owners = {parameter_name(plan, number): group for number, group in enumerate(plan.groups)}
    for name, shape in sorted(shapes.items()):
        draw = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
        if name not in owners:
            draw = torch.from_numpy(plan.generator.start(name, draw.numpy(), shapes))
        elif not owners[name].is_sum:
            draw = leaf_of(owners[name].owner).random(draw)
        yield name, draw
