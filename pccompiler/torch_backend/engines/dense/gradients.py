"""Launches the dense kernels for gradients of tables, from the flows into all terms.

Regions or leaf rows that share a place in a table add to one gradient. A program sums over all of
them, or if there would be too few programs, over a part of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.engines.dense.buffers import Kept, Lookup, Numbers
from pccompiler.torch_backend.engines.dense.compiling import launch
from pccompiler.torch_backend.engines.dense.kernels import gradients as dense_gradients
from pccompiler.torch_backend.engines.dense.kernels import mixtures as dense_mixtures
from pccompiler.torch_backend.engines.dense.regions import Level, Lists, Shape
from pccompiler.torch_backend.engines.dense.tiles import block
from pccompiler.torch_backend.engines.dense.unitwise import tile_of

_KERNELS: Any = dense_gradients
_MIXTURES: Any = dense_mixtures
_FEW = 4
"""The most states that are summed one by one, without a matrix product."""
_MOST_NUMBERS = 2**24
"""The most numbers in the parts of one table's gradient."""


class _Members(NamedTuple):
    """The regions or leaf rows at each place of a table, and the most at one place."""

    lists: Lookup
    most: int


class _Joined(NamedTuple):
    """Leaf rows of each place of a table, (places, members), and the terms that read them."""

    rows: Tensor
    spots: Tensor


class Gradients:
    """The launches for one runner."""

    def __init__(self, runner: Numbers) -> None:
        self.runner, regions = runner, runner.regions
        self.sums = {key: self._members(lists) for key, lists in regions.members().items()}
        self.levels: dict[int, _Members] = {}
        self.leaves = {table: self._members(lists) for table, lists in regions.takers().items()}
        readers = regions.leaves.transposed(len(regions.states))
        first = regions.products[readers.items][readers.starts[:-1]]
        self.joined = {
            table: _Joined(*(torch.from_numpy(a).to(runner.device) for a in (rows, first[rows])))
            for table, rows in regions.joined().items()
        }
        most = int(regions.states.max(initial=1))
        self.state_tile = _FEW if most <= _FEW else runner.tiles.states
        self.blocks = -(-most // self.state_tile)
        edges = np.arange(self.blocks + 1) * self.state_tile
        edges = np.minimum(edges, regions.states[:, None])
        self.edges = torch.from_numpy(edges).to(runner.device, torch.int32)

    def _members(self, lists: Lists) -> _Members:
        return _Members(self.runner.lists(lists), int(np.diff(lists.starts).max()))

    def __call__(
        self, tables: Sequence[Tensor], flows: Tensor, grad: Tensor, kept: Kept, counts: bool
    ) -> list[Tensor]:
        """Gradients of all tables; with ``counts``, multiplied by the tables."""
        found = [torch.empty_like(table) for table in tables]
        begun: set[int] = set()
        for (number, shape), members in self.sums.items():
            self._sums(found, tables, (number, shape), members, (flows, kept, grad), counts, begun)
        self.finish(found, tables, flows, kept, counts, begun)
        return found

    def level(
        self, level: Level, found: Sequence[Tensor], tables: Sequence[Tensor], grad: Tensor,
        kept: Kept, counts: bool, begun: set[int],
    ) -> None:  # fmt: skip
        """Gradients of the weights of one level, added to those of others.

        Called before flows take the place of the level's terms.
        """
        if level.first not in self.levels:
            regions = np.arange(level.first, level.first + level.rows)
            places = self.runner.regions.weights, self.runner.regions.heights[level.table]
            self.levels[level.first] = self._members(Lists.by_place(regions, *places))
        key, members = (level.table, level.shape), self.levels[level.first]
        self._sums(found, tables, key, members, (kept.terms, kept, grad), counts, begun)

    def _sums(
        self, found: Sequence[Tensor], tables: Sequence[Tensor], key: tuple[int, Shape],
        members: _Members, values: tuple[Tensor, Kept, Tensor], counts: bool, begun: set[int],
    ) -> None:  # fmt: skip
        number, shape = key
        run = self._mixtures if shape.mixture else self._weights
        options = {"COUNTS": counts, "ADD": number in begun}
        run(found[number], tables[number], shape, members, values, options)
        begun.add(number)

    def finish(
        self, found: Sequence[Tensor], tables: Sequence[Tensor], flows: Tensor, kept: Kept,
        counts: bool, begun: set[int],
    ) -> None:  # fmt: skip
        """Gradients of the tables of leaves, and zeros for tables that nothing uses."""
        data: tuple[Tensor, Tensor, Tensor] | None = None
        for number, members in self.leaves.items():
            given = found[number], tables[number]
            options = {"COUNTS": counts, "ADD": number in begun}
            if self._joins(number, tables[number]):
                self._join(*given, self.joined[number], flows, kept.codes, options)
                continue
            data = data or self._sorted(kept.codes, self.edges)
            self._tables(*given, members, flows, data, options)
        for number in set(range(len(tables))) - begun - self.leaves.keys():
            found[number].zero_()  # nothing uses it

    def _sorted(self, codes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Order of the rows of data by state, their states, and where blocks of states start."""
        codes, order = torch.sort(codes.masked_fill(codes < 0, 2**30), dim=1, stable=True)
        return order, codes, torch.searchsorted(codes, edges)

    def _joins(self, number: int, table: Tensor) -> bool:
        """Whether the data of all leaf rows at a place are sorted together.

        There are no parts then, so that there must be many programs.
        """
        places, units, states = table.shape
        blocks = -(-states // self.state_tile) * -(
            -units // block(units, self.runner.tiles.joined_out)
        )
        return number in self.joined and places * blocks >= self.runner.tiles.programs

    def _join(
        self, out: Tensor, table: Tensor, joined: _Joined, flows: Tensor, codes: Tensor,
        options: dict[str, bool],
    ) -> None:  # fmt: skip
        tiles, (places, units, states), (rows, spots) = self.runner.tiles, table.shape, joined
        batch, members = codes.shape[1], rows.shape[1]
        data = self._sorted(codes[rows].view(places, -1), self.edges[rows[:, 0]])
        chunk = tiles.chunk
        chunks = data[2].diff(dim=1).add(chunk - 1).div(chunk, rounding_mode="floor").clamp_min(1)
        ends, several = chunks.cumsum(1), chunks * (chunks > 1)
        every = several.flatten().cumsum(0).view_as(several)
        most = self.blocks + members * batch // chunk
        items = torch.arange(most, device=codes.device).expand(places, most).contiguous()
        blocks = torch.searchsorted(ends, items, right=True)
        parts = out.new_empty(2 * places * members * batch // chunk + 1, self.state_tile, units)
        wide = block(units, tiles.joined_out)
        sizes = {"BLOCKS": self.blocks, "BS": self.state_tile, "BK": wide}
        launch(
            _KERNELS.joined_table_gradients, (places, most, -(-units // wide)),
            out, parts, table, flows, *data, blocks, ends, chunks, every - several, spots, members,
            batch, units, states, most, **sizes, CHUNK=chunk,
            BB=block(batch, tiles.joined_batch), **options, PRECISION=self._exact,
        )  # fmt: skip
        launch(
            _KERNELS.add_chunks, (places, self.blocks, -(-units // wide)),
            out, parts, table, chunks, every - several, units, states, **sizes, **options,
        )  # fmt: skip

    @property
    def _exact(self) -> str:
        """The precision of products with 0 and 1, which are exact when rounded."""
        return "split" if self.runner.precision == "ieee" else "tf32"

    def _weights(
        self, out: Tensor, table: Tensor, shape: Shape, members: _Members,
        values: tuple[Tensor, Kept, Tensor], options: dict[str, bool],
    ) -> None:  # fmt: skip
        runner, tiles, (flows, kept, grad) = self.runner, self.runner.tiles, values
        batch, places = len(grad), len(table)
        high, wide = (
            block(size, most)
            for size, most in zip((shape.units, shape.width), tiles.gradient, strict=True)
        )
        blocks = -(-shape.units // high), shape.arity * -(-shape.width // wide)
        parts = self._parts(table, members, places * blocks[0] * blocks[1])
        to, now = _begin(out, parts, options)
        launch(
            _KERNELS.weight_gradients, (parts * places, *blocks),
            to, table, flows, kept.values, kept.terms, kept.tops, grad, *members.lists,
            *runner.readers, runner.values, runner.terms, runner.spots, len(kept.scales) - 1,
            batch, shape.units, shape.width, shape.arity, places, parts,
            BB=block(batch, tiles.gradient_batch), BM=high, BK=wide, **now,
            ALONE=members.most == 1, PRECISION=runner.precision, num_warps=tiles.gradient_warps,
        )  # fmt: skip
        _end(out, to, options)

    def _mixtures(
        self, out: Tensor, table: Tensor, shape: Shape, members: _Members,
        values: tuple[Tensor, Kept, Tensor], options: dict[str, bool],
    ) -> None:  # fmt: skip
        runner, (flows, kept, grad) = self.runner, values
        high, wide = tile_of(shape.units)
        launch(
            _MIXTURES.mixture_gradients, (len(table), shape.arity, -(-shape.units // wide)),
            out, table, flows, kept.values, kept.terms, kept.tops, grad, *members.lists,
            *runner.readers, runner.values, runner.terms, runner.spots, len(kept.scales) - 1,
            len(grad), shape.units, shape.arity, BB=high, BK=wide, **options,
        )  # fmt: skip

    def _tables(
        self, out: Tensor, table: Tensor, members: _Members, flows: Tensor,
        data: tuple[Tensor, Tensor, Tensor], options: dict[str, bool],
    ) -> None:  # fmt: skip
        runner, tiles = self.runner, self.runner.tiles
        (places, units, states), batch = table.shape, data[0].shape[1]
        wide = block(units, tiles.out)
        blocks = -(-states // self.state_tile), -(-units // wide)
        parts = self._parts(table, members, places * blocks[0] * blocks[1])
        to, now = _begin(out, parts, options)
        launch(
            _KERNELS.table_gradients, (parts * places, *blocks),
            to, table, flows, *data, *members.lists, *runner.takers, batch, units, states, places,
            parts, BLOCKS=self.blocks, BS=self.state_tile, BK=wide,
            BB=block(batch, tiles.state_batch), **now,
            PRECISION=self._exact,
        )  # fmt: skip
        _end(out, to, options)

    def _parts(self, table: Tensor, members: _Members, programs: int) -> int:
        """Into how many parts the members at a place are split, so that the device is busy."""
        wanted = -(-self.runner.tiles.programs // programs)
        return max(1, min(members.most, wanted, _MOST_NUMBERS // max(1, table.numel())))


def _begin(out: Tensor, parts: int, options: dict[str, bool]) -> tuple[Tensor, dict[str, bool]]:
    """Where the kernel writes, and its options."""
    if parts == 1:
        return out, options
    return out.new_empty(parts, *out.shape), {**options, "ADD": False}


def _end(out: Tensor, to: Tensor, options: dict[str, bool]) -> None:
    """Add up the parts."""
    if to is out:
        return
    if options["ADD"]:
        out += to.sum(0)
    else:
        torch.sum(to, 0, out=out)
