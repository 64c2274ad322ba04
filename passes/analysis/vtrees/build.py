"""Builds a tree that respects every split of a given set, if there is one.

For circuits that are not smooth, where a product may split only a part of another's scope. A split
requires that variables a and b of one part join below the point where they join c of another part.

Source:
    Aho, Sagiv, Szymanski and Ullman (1981), "Inferring a Tree from Lowest Common Ancestors with an
    Application to the Optimization of Relational Expressions".
"""

from __future__ import annotations

from collections.abc import Sequence

Split = tuple[int, ...]
"""Disjoint parts, as bit sets."""
Node = int | Sequence[int]


class TooMuchWorkError(Exception):
    """Raised when more steps are needed than allowed."""


class Build:
    """Builds trees within a budget of steps, shared by all calls."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def tree(self, variables: int, splits: Sequence[Split]) -> list[Node] | None:
        """The nodes of a tree over the bit set ``variables``, in the form that `Vtree.of` takes.

        ``None`` if no tree respects all ``splits``.

        Raises:
            TooMuchWorkError: If the budget runs out.
        """
        preorder: list[tuple[int, list[int]]] = []
        stack: list[tuple[int, Sequence[Split], int]] = [(variables, splits, -1)]
        while stack:
            within, given, parent = stack.pop()
            place = len(preorder)
            if parent >= 0:
                preorder[parent][1].append(place)
            preorder.append((within, []))
            if within.bit_count() > 1:
                active = self._active(within, given)
                joined = self._join(within, active)
                if len(joined) == 1:
                    return None
                stack += [(part, active, place) for part in reversed(joined)]
        last = len(preorder) - 1
        return [
            [last - child for child in children] if children else within.bit_length() - 1
            for within, children in reversed(preorder)
        ]

    def _active(self, within: int, splits: Sequence[Split]) -> list[Split]:
        """The splits restricted to ``within``, as far as two parts or more are left."""
        self._spend(sum(map(len, splits)))
        cut = [tuple(part & within for part in split if part & within) for split in splits]
        return [split for split in dict.fromkeys(cut) if len(split) > 1]

    def _join(self, within: int, active: Sequence[Split]) -> list[int]:
        """The finest sets of variables that keep every part of every split whole."""
        joined: list[int] = []
        for part in dict.fromkeys(part for split in active for part in split):
            self._spend(1 + len(joined))
            if any(part & ~one == 0 for one in joined):
                continue
            apart = [one for one in joined if not one & part]
            for one in joined:
                part |= one if one & part else 0
            joined = [*apart, part]
        rest = within
        for one in joined:
            rest &= ~one
        while rest:
            joined.append(rest & -rest)
            rest &= rest - 1
        return joined

    def _spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TooMuchWorkError

    def conflict(self, variables: int, splits: Sequence[Split]) -> list[int]:
        """Positions of an inclusion-minimal set of ``splits`` that no tree respects.

        Each round finds the shortest prefix that conflicts with the splits already known to be
        needed; its last split is needed too.
        """
        needed: list[int] = []
        candidates = len(splits)
        while not self._against(variables, [splits[i] for i in needed]):
            low, high = 0, candidates
            while high - low > 1:
                middle = (low + high) // 2
                some = [splits[i] for i in (*needed, *range(middle))]
                low, high = (low, middle) if self._against(variables, some) else (middle, high)
            needed.append(high - 1)
            candidates = high - 1
        return needed

    def _against(self, variables: int, splits: Sequence[Split]) -> bool:
        return self.tree(variables, splits) is None
