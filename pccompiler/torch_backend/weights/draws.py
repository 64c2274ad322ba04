"""The random numbers that parameters start from."""

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
    """The random numbers of each parameter, as the paper's authors draw them.

    Logits are uniform on [0, 1], leaves as `TorchLeaf.random` has them, and parameters of a
    generator as `pccompiler.ir.Generator.start` has them. Drawn on the CPU in float64, so that one
    seed gives one model on every device and in every precision.

    Args:
        plan: Says whose parameters they are.
        shapes: Of the parameters, by name. They are drawn in alphabetical order.
        seed: Of all of them.
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
