"""Sources of the lanes' weights: torch tables, or fused kernels.

Gradients of the lanes' weights are given for each part of the batch; both sources sum them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.ir.generators import Hypernetwork
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.trees.launch import Launcher
from pccompiler.torch_backend.runtime.nvrtc import (
    Argument,
    Defines,
    Kernel,
    Long,
    compile_ahead,
    load,
)
from pccompiler.torch_backend.weights.softmax_cuda import SOFTMAX
from pccompiler.torch_backend.weights.weights import Weights

_KERNELS = Path(__file__).parent / "kernels"

_TILE = 128
"""Threads per block in the generator's kernels."""
_RESIDENT = 3
"""Blocks of the backward pass resident on a multiprocessor."""
_MOST_HIDDEN = 32
_MOST_OUTPUTS = 64


@dataclass(frozen=True, eq=False)
class _Head:
    """Weights of the same shape.

    Attributes:
        rows, columns: The shape.
        slots: Row among embeddings (or logits), component and lane, shape (3, weights).
        names: Names of its own parameters.
        number: Number of weights.
        blocks: Number of blocks in the backward pass.
    """

    rows: int
    columns: int
    slots: Tensor
    names: tuple[str, ...]
    number: int
    blocks: int


class Generated:
    """The hypernetwork and softmax, or softmax alone, in fused kernels."""

    def __init__(self, launcher: Launcher, weights: Weights) -> None:
        """Collect the heads and compile the kernels.

        Raises:
            NoMatch: If the generator is not supported, with the reason.
        """
        self.launcher = launcher
        self.net = network_of(weights)
        hidden = self.net.hidden if self.net else ()
        _check(weights, hidden)
        self.heads = self._heads(weights)
        self.tiles = sum(-(-head.number // _TILE) for head in self.heads)
        self.names = [name for head in self.heads for name in head.names]
        if hidden:
            layers = [f"hidden_{i}_{kind}" for i in range(2) for kind in ("weight", "bias")]
            self.names = ["embedding", *layers, *self.names]
        rows = [weights.values[n].shape[0] for n in (self.names[:1] if hidden else self.names)]
        self.all_used = sum(rows) == sum(head.number for head in self.heads)
        self.partial = _partial(weights, hidden, self.heads)
        device: Any = torch.cuda.get_device_properties(launcher.device)  # torch's stub lacks a name
        if self.partial.shared[1] > device.shared_memory_per_block_optin:
            raise NoMatch("the hypernetwork is too wide for a multiprocessor")
        sources = ("network.cuh", "network.cu") if hidden else ("direct.cu",)
        self.files = (SOFTMAX, *(_KERNELS / file for file in sources))
        self.defines = self._defines(weights, hidden)
        compile_ahead(launcher.device, self.files, ((*self.defines, ("BACK", b)) for b in (0, 1)))
        self.up = self._load(0, "generate")

    @cached_property
    def down(self) -> dict[str, Kernel]:
        """The kernels for gradients."""
        return self._load(1, "generate_back", *(("add_partial",) if self.net else ()))

    def _load(self, back: int, *names: str) -> dict[str, Kernel]:
        defines = *self.defines, ("BACK", back)
        return load(self.launcher.device, self.files, defines, names)

    def _heads(self, weights: Weights) -> list[_Head]:
        kinds: dict[tuple[int, int, tuple[str, ...]], list[Int]] = {}
        for group, slots in self.launcher.trees.slots().items():
            entry = weights.plan.groups[group]
            head = f"head_{entry.rows}x{entry.columns}"
            own = (parameter_name(weights.plan, group),)
            names: tuple[str, ...] = own
            if self.net:
                names = (f"{head}_weight", f"{head}_bias")
            where = slots.copy()
            where[0] = _parameter_rows(weights, group)[slots[0]]
            kinds.setdefault((entry.rows, entry.columns, names), []).append(where)
        heads: list[_Head] = []
        total = sum(-(-part.shape[1] // _TILE) for parts in kinds.values() for part in parts)
        rounds = -(-total // (_RESIDENT * self.launcher.processors))
        for (rows, columns, names), found in kinds.items():
            slots = np.concatenate(found, axis=1)
            slots = slots[:, np.lexsort((slots[2], slots[1]))]
            if len(np.unique(slots[0])) != slots.shape[1]:
                raise NoMatch("sectors are shared")
            table = torch.from_numpy(np.ascontiguousarray(slots, np.int32)).to(self.launcher.device)
            number = slots.shape[1]
            blocks = -(-number // (_TILE * rounds))
            heads.append(_Head(rows, columns, table, names, number, blocks))
        return heads

    def _defines(self, weights: Weights, hidden: tuple[int, ...]) -> Defines:
        calls = " ".join(f"HEAD({i}, {h.rows}, {h.columns})" for i, h in enumerate(self.heads))
        defines: list[tuple[str, int | str]] = [
            ("TILE", _TILE),
            ("COMPONENTS", self.launcher.components),
            ("FLOOR", f"{weights.plan.floor}f"),
            ("HEADS", calls),
        ]
        if self.net:
            shape = [("E", self.net.embedding), ("H1", hidden[0]), ("H2", hidden[1])]
            partial, outputs = _sizes(self.net.embedding, hidden, self.heads)
            defines += [*shape, ("PARTIAL", partial), ("ENTRIES_OUT", outputs)]
        return tuple(defines)

    def tensors(self, weights: Weights) -> list[Tensor]:
        """The parameters."""
        return [weights.values[name].contiguous() for name in self.names]

    def _arguments(self, own: Sequence[Tensor], outs: Sequence[Tensor]) -> list[Argument]:
        """Slots, number and parameters of three heads; without a network, also gradients."""
        arguments: list[Argument] = []
        each = 2 if self.net else 1
        for i in range(3):
            head = self.heads[min(i, len(self.heads) - 1)]
            at = each * min(i, len(self.heads) - 1)
            number = head.number if i < len(self.heads) else 0
            arguments += [head.slots, number, *own[at : at + each]]
            if not self.net:
                arguments.append(outs[at] if outs else own[at])
        return arguments

    def make(self, tensors: Sequence[Tensor]) -> Tensor:
        """See `Source`."""
        out = tensors[0].new_empty(self.launcher.components, self.launcher.lanes)
        shared = self.partial.shared[0] if self.net else 0
        net, own = self._split(tensors)
        arguments: list[Argument] = [
            out,
            Long(self.launcher.lanes),
            *net,
            *self._arguments(own, ()),
        ]
        self.up["generate"]((self.tiles, 1), (_TILE, 1), shared, arguments)
        return out

    def _split(self, tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The tensors that heads share, and their own ones."""
        return (tensors[:5], tensors[5:]) if self.net else ((), tensors)

    def back(self, found: Tensor, batch: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """See `Source`."""
        net, own = self._split(tensors)
        arguments: list[Argument] = [found, self.launcher.places(batch)]
        if not self.net:
            make = torch.empty_like if self.all_used else torch.zeros_like
            outs = [make(tensor) for tensor in tensors]
            arguments += self._arguments(own, outs)
            self.down["generate_back"]((self.tiles, 1), (_TILE, 1), 0, arguments)
            return outs
        numbers = [head.blocks for head in self.heads] + [0] * (3 - len(self.heads))
        embedding = (torch.empty_like if self.all_used else torch.zeros_like)(tensors[0])
        partial = found.new_empty(sum(numbers), self.partial.size)
        arguments += [*net, *self._arguments(own, ()), *numbers, embedding, partial]
        shared = self.partial.shared[1]
        self.down["generate_back"]((sum(numbers), 1), (_TILE, 1), shared, arguments)
        flat = found.new_empty(self.partial.outputs)
        blocks = -(-self.partial.outputs // 32)
        self.down["add_partial"]((blocks, 1), (32, 8), 0, [partial, flat, *numbers])
        sizes = [tensor.numel() for tensor in tensors[1:]]
        pieces = zip(flat.split(sizes), tensors[1:], strict=True)
        return [embedding, *(piece.view_as(tensor) for piece, tensor in pieces)]


@dataclass(frozen=True)
class _Partial:
    """Numbers of sums in a block and in total, and bytes of shared memory up and down."""

    size: int
    outputs: int
    shared: tuple[int, int]


def _sizes(width: int, hidden: tuple[int, ...], heads: list[_Head]) -> tuple[int, int]:
    outputs = [head.rows * head.columns * (hidden[1] + 1) for head in heads]
    below = hidden[0] * (width + 1) + hidden[1] * (hidden[0] + 1)
    return below + max(outputs), below + sum(outputs)


def _partial(weights: Weights, hidden: tuple[int, ...], heads: list[_Head]) -> _Partial:
    generator = weights.plan.generator
    if not isinstance(generator, Hypernetwork) or not hidden:
        return _Partial(0, 0, (0, 0))
    (first, second), width = hidden, generator.embedding
    out = max(head.rows * head.columns for head in heads)

    def pad(number: int) -> int:
        return (number + 3) // 4 * 4

    up = (width + 1) * pad(first) + (first + 1) * pad(second) + (second + 1) * pad(out)
    down = first * pad(width) + second * pad(first) + out * pad(second)
    columns = width + first + second
    back = columns + out + second + first + 1
    shared = up + columns * (_TILE + 4), up + down + back * (_TILE + 4)
    return _Partial(*_sizes(width, hidden, heads), (4 * shared[0], 4 * shared[1]))


def network_of(weights: Weights) -> Hypernetwork | None:
    """The hypernetwork that fills the sectors; ``None`` if there are none.

    Raises:
        NoMatch: If something else fills them.
    """
    generator = weights.plan.generator
    if not weights.layout.heads:
        return None
    if not isinstance(generator, Hypernetwork):
        raise NoMatch(f"no kernels fill sectors by the generator {generator.keyword!r}")
    if generator.slices:
        raise NoMatch("heads are slices of one table")
    return generator


def _check(weights: Weights, hidden: tuple[int, ...]) -> None:
    """Check that the kernels support the generator.

    Raises:
        NoMatch: If not.
    """
    layout = weights.layout
    if layout.heads and len(hidden) != 2:
        raise NoMatch(f"the hypernetwork has {len(hidden)} hidden layers, not two")
    if max((*hidden, 0)) > _MOST_HIDDEN:
        raise NoMatch(f"the hypernetwork has layers of more than {_MOST_HIDDEN} units")
    if any(head.rows * head.columns > _MOST_OUTPUTS for head in layout.heads):
        raise NoMatch(f"sectors have more than {_MOST_OUTPUTS} weights")


def _parameter_rows(weights: Weights, group: int) -> Int:
    """For each weight of a group in plan order, the row of its embedding or logits."""
    key, entry = str(group), weights.plan.groups[group]
    if weights.layout.heads:
        if key not in weights.sectors:
            raise NoMatch("sectors are not whole weights")
        rows = weights.sectors[key].rows
        total = weights.layout.codes
    else:
        if entry.generated:
            raise NoMatch("direct weights are partitioned into sectors")
        rows, total = weights.orders[key].rows, len(entry.weights)
    if isinstance(rows, Tensor):
        return np.asarray(rows.cpu().numpy())
    return np.arange(total)
