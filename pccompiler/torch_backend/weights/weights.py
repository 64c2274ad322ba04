"""Computes the weight tensors of each layer, in plan order, from trainable parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pccompiler.ir.arrays import Int
from pccompiler.ir.generators.base import Head, unusable
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import Layout, lay_out, parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.runtime.autocast import in_full_precision
from pccompiler.torch_backend.weights.draws import draws
from pccompiler.torch_backend.weights.generators.registry import class_of
from pccompiler.torch_backend.weights.remembered import Remembered, Result
from pccompiler.torch_backend.weights.selection import Selection
from pccompiler.torch_backend.weights.softmax_cpu import lifted_softmax
from pccompiler.torch_backend.weights.supports import SIMPLEX


class Weights(nn.Module):
    """The trainable parameters of a plan, and the weights that they determine."""

    def __init__(
        self, plan: Plan, dtype: torch.dtype, seed: int, shared: Weights | None = None
    ) -> None:
        super().__init__()
        self.plan = plan
        self.layout: Layout = lay_out(plan) if shared is None else shared.layout
        self.values: nn.ParameterDict = self._allocated(dtype) if shared is None else shared.values
        self.generator = class_of(plan.generator.keyword)(plan.generator, self.values)
        self.shapes = {(head.rows, head.columns): head for head in self.layout.heads}
        self.users = _users(plan)
        self.remembered = Remembered()
        self.sectors = nn.ModuleDict()  # group -> codes of its sectors, in plan order
        self.orders = nn.ModuleDict()  # group -> places in its own table or in the flat sectors
        self.heads = nn.ModuleDict()  # head -> its sectors, if some group needs them flat
        self._select()
        self.seed: int | None = seed if shared is None else shared.seed
        if shared is None:
            self.reset(seed)

    @classmethod
    def sharing(cls, weights: Weights, plan: Plan) -> Weights:
        """The same parameters for another plan of the same circuit."""
        made = cls(plan, torch.float32, 0, weights)
        return made.to(next(weights.parameters()).device)

    def _allocated(self, dtype: torch.dtype) -> nn.ParameterDict:
        """Parameters by name, in alphabetical order."""
        values = nn.ParameterDict()
        for name, shape in sorted(self.layout.shapes.items()):
            if not name or "." in name or hasattr(values, name):
                why = "torch.nn.ParameterDict cannot hold that name"
                raise unusable(self.plan.generator, name, why)
            values[name] = nn.Parameter(torch.empty(shape, dtype=dtype, device="cpu"))
        return values

    def _select(self) -> None:
        """Fix which rows of which table each group uses, in layer order."""
        for number, group in enumerate(self.plan.groups):
            order = _order(self.plan, self.users[number])
            whole = self._whole_head(number)
            if whole is not None:
                head, first = whole
                chosen = head.sectors[first + order]
                self.sectors[str(number)] = Selection(chosen, self.layout.codes)
            elif group.generated:
                where = self.layout.assembly[number]
                entries = np.arange(*where) if isinstance(where, tuple) else where
                table = entries.reshape(len(group.weights), -1)[order]
                total = sum(h.rows * h.columns * len(h.sectors) for h in self.layout.heads)
                self.orders[str(number)] = Selection(table.ravel(), total)
                for h in self.layout.heads:
                    self.heads[h.name] = Selection(h.sectors, self.layout.codes)
            else:
                self.orders[str(number)] = Selection(order, len(group.weights))

    def _whole_head(self, number: int) -> tuple[Head, int] | None:
        """The head of which some sectors in a row are the group's weights, and their first."""
        where, group = self.layout.assembly.get(number), self.plan.groups[number]
        if not isinstance(where, tuple):
            return None
        start = 0
        for head in self.layout.heads:
            size = head.rows * head.columns
            stop = start + size * len(head.sectors)
            alike = (head.rows, head.columns) == (group.rows, group.columns)
            if alike and start <= where[0] and where[1] <= stop:
                return head, (where[0] - start) // size
            start = stop
        return None

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Draw all parameters anew, see `draws`."""
        self.seed = seed
        for name, draw in draws(self.plan, self.layout.shapes, seed):
            self.values[name].copy_(draw)

    def remember(self, name: str, make: Callable[[], Result]) -> Result:
        """What ``make`` returns, kept until a parameter changes; see `Remembered`."""
        return self.remembered(name, list(self.values.values()), make)

    def forward(
        self, given: Mapping[int, Tensor] | None = None
    ) -> tuple[list[Tensor], dict[int, Tensor]]:
        """Weight tables for each use (`Plan.uses`), then parameters of other leaves by layer.

        Args:
            given: Group number to weights, as returned by `constrain`, that replace those computed
                from the parameters; only for groups that are not generated.
        """
        tables: dict[int, Tensor] = {}
        leaves: dict[int, Tensor] = {}
        for number, weights in self.by_group(given=given).items():
            by_use = self.pieces(number, weights)
            if self.plan.groups[number].tabular:
                tables |= by_use
            else:
                leaves |= {self.plan.uses[use].layer: piece for use, piece in by_use.items()}
        return [tables[use] for use in sorted(tables)], leaves

    def pieces(self, number: int, ordered: Tensor) -> dict[int, Tensor]:
        """The weights of a group, in the order of its uses, by use."""
        users = self.users[number]
        if len(users) == 1:  # the gradient of a split is a copy
            return {users[0]: ordered}
        sizes = [len(self.plan.uses[user].index) for user in users]
        return dict(zip(users, ordered.split(sizes), strict=True))

    def leaves(self, *, tables: bool = False) -> dict[int, Tensor]:
        """Parameters of leaves without tables, or of all leaves, by layer."""
        others = [
            number
            for number, group in enumerate(self.plan.groups)
            if not (group.is_sum if tables else group.tabular)
        ]
        found = self.by_group(others)
        return {
            self.plan.uses[use].layer: piece
            for number in others
            for use, piece in self.pieces(number, found[number]).items()
        }

    @property
    def tables(self) -> list[int]:
        """Groups whose weights are tables, ascending."""
        return [number for number, group in enumerate(self.plan.groups) if group.tabular]

    def by_use(self, tables: Sequence[Tensor]) -> list[Tensor]:
        """Weights for each use that has a table, from those of the groups in `tables`.

        Weights that are generated must be in the order of their uses.
        """
        found: dict[int, Tensor] = {}
        for number, table in zip(self.tables, tables, strict=True):
            found |= self.used(number, table)
        return [found[use] for use in sorted(found)]

    def used(self, number: int, table: Tensor) -> dict[int, Tensor]:
        """The same for one group: weights by use."""
        made = self.plan.groups[number].generated
        return self.pieces(number, table if made else self.orders[str(number)](table))

    def by_table(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """The adjoint of `by_use`: sums over the uses of each weight, group by group."""
        uses = sorted(use for number in self.tables for use in self.users[number])
        found = dict(zip(uses, pieces, strict=True))
        return [self.added(n, *(found[use] for use in self.users[n])) for n in self.tables]

    def added(self, number: int, *pieces: Tensor) -> Tensor:
        """For each weight of a group that is not generated, the sum of the pieces of its uses."""
        whole = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        order = self.orders[str(number)]
        if not isinstance(order, Selection):
            raise AssertionError("orders are selections")  # pragma: no cover
        return order.back_from(whole, len(self.plan.groups[number].weights))

    @in_full_precision
    def by_group(
        self, numbers: Collection[int] | None = None, given: Mapping[int, Tensor] | None = None
    ) -> dict[int, Tensor]:
        """Weights of some or all groups, in the order of their uses; ``given`` as in `forward`."""
        known = given or {}
        chosen = range(len(self.plan.groups)) if numbers is None else numbers
        features: Tensor | None = None
        flat: Tensor | None = None
        found: dict[int, Tensor] = {}
        for number in chosen:
            key, group = str(number), self.plan.groups[number]
            if not group.generated:
                lent = known.get(number)
                found[number] = self._ordered(number) if lent is None else self.orders[key](lent)
                continue
            features = self.features() if features is None else features
            if key in self.sectors:
                raw = self.sector_logits(self.sectors[key](features), group)
            else:
                flat = self.flat(features) if flat is None else flat
                raw = self.orders[key](flat).view(-1, group.rows, group.columns)
            found[number] = self.constrained(number, raw)
        return found

    def _ordered(self, number: int) -> Tensor:
        """Weights of a group that is not generated, in the order of its uses."""
        group, order = self.plan.groups[number], self.orders[str(number)]
        if group.is_simplex and isinstance(order, Selection):
            raw: Tensor = self.values[parameter_name(self.plan, number)]
            quick = lifted_softmax(raw, self.plan.floor, order)
            if quick is not None:
                return quick
        own: Tensor = order(self.constrained(number))
        return own

    def constrained(self, number: int, raw: Tensor | None = None) -> Tensor:
        """Weights of group ``number``, from its parameter or from ``raw``."""
        own: Tensor = self.values[parameter_name(self.plan, number)] if raw is None else raw
        return constrain(own, self.plan.groups[number], self.plan.floor)

    def features(self, codes: Tensor | None = None) -> Tensor:
        """What the generator makes of the codes of all sectors, or of some."""
        return self.generator.features(
            self.values[self.plan.generator.table] if codes is None else codes
        )

    def sector_logits(self, selected: Tensor, group: WeightGroup) -> Tensor:
        """Raw weights of whole sectors, from their features."""
        return self.generator.logits(selected, self.shapes[group.rows, group.columns])

    def flat(self, features: Tensor) -> Tensor:
        """Raw weights of all sectors, head by head, flattened."""
        logits = self.generator.logits
        pieces = [logits(self.heads[h.name](features), h).flatten() for h in self.layout.heads]
        return torch.cat(pieces)


def constrain(raw: Tensor, group: WeightGroup, floor: float) -> Tensor:
    """Weights from unconstrained numbers, as `ir.plan.materialize.constrain` defines them.

    Leaf parameters are as `TorchLeaf.constrain` returns them, some as logarithms.
    """
    return (
        SIMPLEX.constrain(raw, floor)
        if group.is_sum
        else leaf_of(group.owner).constrain(raw, floor)
    )


def _users(plan: Plan) -> list[list[int]]:
    """The uses of each group, as indices into `Plan.uses`, ascending."""
    users: list[list[int]] = [[] for _ in plan.groups]
    for number, use in enumerate(plan.uses):
        users[use.group].append(number)
    return users


def _order(plan: Plan, users: list[int]) -> Int:
    """Places in the group of the weights that ``users`` take, use by use and row by row."""
    return np.concatenate([plan.uses[user].index for user in users])
