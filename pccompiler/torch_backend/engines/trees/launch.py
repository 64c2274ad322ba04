"""Launches the CUDA kernels for trees of regions: one region per lane, with rows streaming by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.engines.trees.lanes import WARP
from pccompiler.torch_backend.engines.trees.stages import MIXERS, WARPS, LaunchedStage
from pccompiler.torch_backend.engines.trees.warps import Arrangement
from pccompiler.torch_backend.runtime.nvrtc import Argument, Kernel, Long

_FILL = 14
"""Warps per multiprocessor, enough to hide latencies."""
_FEW = 4
"""The most parts of the batch that readers of gradients sum themselves."""


def _run(
    kernel: Kernel, grid: tuple[int, int], threads: int, given: list[Argument], shared: int = 0
) -> None:
    """Launch a kernel, unless there are no rows."""
    if 0 not in grid:
        kernel(grid, (threads, 1), shared, given)


class Launcher:
    """The trees of a plan on a device; weights and their gradients are (components, lanes)."""

    def __init__(self, trees: Arrangement, device: torch.device) -> None:
        self.trees, self.device = trees, device
        self.lanes, self.wide = trees.lanes, (trees.units + 4) & ~3
        self.components = trees.units**2 + 4 * trees.units
        self.stages: list[LaunchedStage] = []
        first = 0
        for stage in trees.stages:
            self.stages.append(LaunchedStage(stage, first, trees.units, device))
            first += stage.weight.size
        self.processors = torch.cuda.get_device_properties(device).multi_processor_count
        self._parts: dict[tuple[int, int], tuple[int, int]] = {}
        self._places: dict[int, tuple[Tensor, Tensor]] = {}
        self.begun: set[tuple[str, bool, Wanted]] = set()
        for complete in (True, False):
            self.begin("trees_up", complete, Wanted.VALUE)
        self._batch: dict[Wanted, dict[str, Kernel]] = {}
        self.kernels = self.batch(Wanted.VALUE)

    def begin(self, name: str, complete: bool, wanted: Wanted) -> None:
        """Begin to compile a kernel for all stages at the same time."""
        if (name, complete, wanted) not in self.begun:
            for stage in self.stages:
                stage.begin(name, complete, wanted)
            self.begun.add((name, complete, wanted))

    def batch(self, wanted: Wanted) -> dict[str, Kernel]:
        """Kernels of whole batches; those for best trees and draws differ from all others."""
        if wanted not in self._batch:
            self._batch[wanted] = self.stages[0].batch(wanted)
        return self._batch[wanted]

    @cached_property
    def leaves(self) -> tuple[Tensor, Tensor, Tensor]:
        """The input row of each slot; where each input row's slots start in a list; the list."""
        inputs = self.trees.inputs
        order = np.argsort(inputs, kind="stable")
        starts = np.searchsorted(inputs[order], np.arange(inputs.max() + 2))
        arrays = inputs, starts, order
        one, two, three = (
            torch.from_numpy(each.astype(np.int32)).to(self.device) for each in arrays
        )
        return one, two, three

    def pack(self, x: Tensor, complete: bool) -> Tensor:
        """States with two bits per value, shape (variables, words), from rows (batch, variables).

        If ``complete``, kernels have no tables for missing values, so NaN counts as state 0.
        """
        batch, variables = x.shape
        words = -(-batch // 16) + 4  # 16 empty rows before, more after
        out = torch.empty(variables, words, dtype=torch.int32, device=x.device)
        gone = 0 if complete else 2
        arguments: list[Argument] = [x.contiguous(), out, batch, variables, words, gone]
        self.kernels["pack_states"]((-(-variables // 128), words), (128, 1), 0, arguments)
        return out

    def up(
        self, codes: Tensor, batch: int, weights: Tensor, complete: bool, wanted: Wanted
    ) -> tuple[Tensor, ...]:
        """Log-values of roots, shape (roots, batch), and values of pieces."""
        pieces = weights.new_empty(self.trees.pieces, batch, self.wide)
        roots = weights.new_empty(self.trees.roots, batch)
        self.begin("trees_up", complete, wanted)
        if wanted is not Wanted.VALUE:
            self.begin("trees_down", complete, wanted)
        for stage in self.stages:
            parts, part = self.parts(stage, batch)
            arguments: list[Argument] = [
                *stage.arguments(self.lanes, codes, weights),
                pieces,
                roots,
                batch,
                part,
            ]
            up = stage.kernel("trees_up", complete, wanted)
            _run(up, (stage.blocks, parts), 32 * WARPS, arguments, stage.bytes(complete)[0])
        return roots, pieces

    def down(
        self, codes: Tensor, weights: Tensor, pieces: Tensor, flows: Tensor, complete: bool,
        wanted: Wanted,
    ) -> Tensor:  # fmt: skip
        """Gradients of weights, stage by stage, for each part of the batch; see `places`.

        For `Wanted.COUNTS` expected counts: weights times gradients, without missing values of
        leaves.
        """
        sizes = self._sizes(flows.shape[1])
        found = flows.new_empty(sum(sizes))
        self._down((codes, weights, pieces, flows), complete, wanted, found.split(sizes))
        self._collect_many(found, flows.shape[1])
        return found

    def posterior(self, codes: Tensor, weights: Tensor, pieces: Tensor, flows: Tensor) -> Tensor:
        """Flows of leaves' states, shape (rows of input layers, 2, batch)."""
        batch, (inputs, starts, slots) = flows.shape[1], self.leaves
        found = flows.new_empty(len(inputs), batch, 2)
        own = [found] * len(self.stages)
        self._down((codes, weights, pieces, flows), False, Wanted.POSTERIOR, own, (inputs, inputs))
        out = flows.new_empty(len(starts) - 1, 2, batch)
        arguments: list[Argument] = [found, batch, len(out), starts, slots, out]
        blocks = -(-batch // 128), min(len(out), 2**15)
        _run(self.kernels["add_leaves"], blocks, 128, arguments)
        return out

    def choose(
        self, ascent: Sequence[Tensor], roots: Tensor, share: Tensor | None, key: Tensor,
        wanted: Wanted,
    ) -> Tensor:  # fmt: skip
        """The leaf unit of each variable, shape (variables, batch), -1 if there is none.

        Args:
            ascent: Codes, weights and pieces.
            roots: Log-values of roots, shape (roots, batch).
            share: Weights of the roots and log-values of their mixture, if there is one.
            key: A random number, shape (1,).
            wanted: Draws or best trees.
        """
        codes, weights, pieces = ascent
        batch = roots.shape[1]
        flows = torch.zeros_like(roots)
        if share is not None:
            values = self.mix(roots, share, wanted)
            given: list[Argument] = [roots, share, values, *roots.shape, Long(self.lanes), key]
            kernel = self.batch(wanted)["choose_roots"]
            _run(kernel, (-(-batch // 128), 1), 128, [*given, flows])
        chosen = torch.full((len(codes), batch), -1, dtype=torch.int32, device=self.device)
        own = [chosen] * len(self.stages)
        self._down((codes, weights, pieces, flows), False, wanted, own, (self.leaves[0], key))
        return chosen

    def _down(
        self,
        given: tuple[Tensor, Tensor, Tensor, Tensor],
        complete: bool,
        wanted: Wanted,
        found: Sequence[Tensor],
        more: Sequence[Tensor] = (),
    ) -> None:
        """The kernels of all stages, from the roots down."""
        codes, weights, pieces, flows = given
        batch = flows.shape[1]
        piece_flows = torch.empty_like(pieces)
        self.begin("trees_down", complete, wanted)
        for stage, mine in zip(reversed(self.stages), reversed(found), strict=True):
            parts, part = self.parts(stage, batch)
            arguments = stage.arguments(self.lanes, codes, weights)
            arguments += [pieces, flows, piece_flows, mine, batch, part, *more]
            down = stage.kernel("trees_down", complete, wanted)
            _run(down, (stage.blocks, parts), 32 * WARPS, arguments, stage.bytes(complete)[1])

    def _collect_many(self, found: Tensor, batch: int) -> None:
        """Sum over the parts of the stages that have many."""
        many = [stage.first for stage in self.stages if self.parts(stage, batch)[0] > _FEW]
        if not many:
            return
        first = min(many)
        places = self._all_places(batch)[0]
        arguments: list[Argument] = [found, Long(first), Long(self.lanes), places, _FEW]
        blocks = (-(-(self.lanes - first) // 128), self.components)
        self.kernels["collect_many"](blocks, (128, 1), 0, arguments)

    def collect(self, found: Tensor, batch: int) -> Tensor:
        """Sums over the parts, shape (components, lanes)."""
        out = found.new_empty(self.components, self.lanes)
        arguments: list[Argument] = [found, out, Long(self.lanes), self.places(batch)]
        blocks = (-(-self.lanes // 128), self.components)
        self.kernels["collect"](blocks, (128, 1), 0, arguments)
        return out

    def places(self, batch: int) -> Tensor:
        """Where `down` writes the gradients of each warp's lanes, shape (warps, 3).

        The columns are the number of parts, the lanes of the stage, and the start of the stage less
        its first lane. Gradients of a stage have the shape (parts, components, lanes of the stage).
        """
        return self._all_places(batch)[1]

    def _all_places(self, batch: int) -> tuple[Tensor, Tensor]:
        """`places` before and after `_collect_many`, which merges many parts into one."""
        if batch not in self._places:
            starts = np.cumsum([0, *self._sizes(batch)])
            entries = [
                (self.parts(stage, batch)[0], 32 * stage.warps, start - stage.first)
                for stage, start in zip(self.stages, starts[:-1].tolist(), strict=True)
            ]
            table = np.repeat(np.array(entries), [stage.warps for stage in self.stages], axis=0)
            after = table.copy()
            after[after[:, 0] > _FEW, 0] = 1
            before, then = (torch.from_numpy(t).to(self.device) for t in (table, after))
            self._places[batch] = before, then
        return self._places[batch]

    def _sizes(self, batch: int) -> list[int]:
        each = [self.parts(stage, batch)[0] * stage.warps * WARP for stage in self.stages]
        return [self.components * number for number in each]

    def mix(self, roots: Tensor, share: Tensor, wanted: Wanted) -> Tensor:
        """Log-values of a mixture, shape (batch,), from log-values (roots, batch)."""
        number, batch = roots.shape
        out = roots.new_empty(batch)
        arguments: list[Argument] = [roots, share, number, batch, out]
        kernel = (self.batch(wanted) if wanted is Wanted.BEST else self.kernels)["mix_up"]
        if batch:
            kernel((-(-batch // 32), 1), (32, MIXERS), 0, arguments)
        return out

    def unmix(
        self, roots: Tensor, share: Tensor, values: Tensor, above: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Flows of roots and gradients of mixture weights."""
        flows, out = torch.empty_like(roots), torch.empty_like(share)
        arguments: list[Argument] = [roots, share, values, above, roots.shape[1], flows, out]
        self.kernels["mix_down"]((len(roots), 1), (128, 1), 0, arguments)
        return flows, out

    def parts(self, stage: LaunchedStage, batch: int) -> tuple[int, int]:
        """Number of parts of the batch that a stage runs in parallel, and rows of each (16 n)."""
        if batch == 0:
            return 0, 16
        if (stage.first, batch) not in self._parts:

            def cost(part: int) -> int:
                waves: int = -(-stage.warps * -(-batch // part) // (_FILL * self.processors))
                return waves * (part + 2 * stage.depth + 16)

            part = min(range(16, batch + 16, 16), key=cost)
            self._parts[stage.first, batch] = -(-batch // part), part
        return self._parts[stage.first, batch]
