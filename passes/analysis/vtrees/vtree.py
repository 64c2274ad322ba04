"""Vtrees: trees over variables that say how products may split their scopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.files import write_bytes
from pccompiler.ir.arrays import Int, ints, segments
from pccompiler.reading import read_text


@dataclass(frozen=True, eq=False)
class Vtree:
    """A tree whose leaves are variables. Children come before parents; the last node is the root.

    An inner node has two children or more: if a circuit does not fix the order in which parts are
    split off, the tree does not either. `binary` chooses an order.

    Attributes:
        variable: Shape (nodes,): index of a leaf's variable, -1 for inner nodes.
        pointer: Shape (nodes + 1,); node i's children are
            ``children[pointer[i]:pointer[i + 1]]``.
        children: Node ids.

    Source:
        Pipatsrisawat and Darwiche (2008), "New Compilation Languages Based on Structured
        Decomposability".
    """

    variable: Int
    pointer: Int
    children: Int

    def __post_init__(self) -> None:
        for name in ("variable", "pointer", "children"):
            object.__setattr__(self, name, ints(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.variable)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vtree):
            return NotImplemented
        names = ("variable", "pointer", "children")
        return all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)

    __hash__ = None  # type: ignore[assignment]  # trees are compared by content

    @classmethod
    def of(cls, nodes: Sequence[int | Sequence[int]]) -> Vtree:
        """A tree from its nodes: the variable of a leaf, the children of an inner node.

        Raises:
            CircuitError: If they do not form a tree.
        """
        inner: list[Sequence[int]] = [() if isinstance(node, int) else node for node in nodes]
        tree = cls(
            np.array([node if isinstance(node, int) else -1 for node in nodes], np.int64),
            segments(np.array([len(children) for children in inner], np.int64)),
            np.array([child for children in inner for child in children], np.int64),
        )
        owners = np.repeat(np.arange(len(tree)), np.diff(tree.pointer))
        leaves = tree.variable[tree.variable >= 0]
        once = bool(nodes) and np.array_equal(np.sort(tree.children), np.arange(len(nodes) - 1))
        if not once or (tree.children >= owners).any() or len(set(leaves.tolist())) < len(leaves):
            raise CircuitError.of(
                "PC124",
                "the nodes do not form a vtree",
                help="declare children first; use each as a child once, and each variable once",
            )
        return tree

    @property
    def root(self) -> int:
        """The last node."""
        return len(self) - 1

    def children_of(self, node: int) -> Int:
        """The children of ``node``, from left to right."""
        return self.children[self.pointer[node] : self.pointer[node + 1]]

    @cached_property
    def order(self) -> Int:
        """The variables from left to right."""
        stack, found = [self.root] if len(self) else [], list[int]()
        while stack:
            node = stack.pop()
            if self.variable[node] >= 0:
                found.append(int(self.variable[node]))
            stack += reversed(self.children_of(node).tolist())
        return ints(found)

    @cached_property
    def spans(self) -> Int:
        """Shape (nodes, 2): the variables under a node are ``order[start:stop]``."""
        size = (self.variable >= 0).astype(np.int64)
        for node in np.flatnonzero(self.variable < 0).tolist():
            size[node] = size[self.children_of(node)].sum()
        start = np.zeros(len(self), np.int64)
        for node in range(len(self) - 1, -1, -1):
            below = self.children_of(node)
            start[below] = start[node] + segments(size[below])[:-1]
        return np.stack([start, start + size], axis=1)

    def variables_under(self, node: int) -> Int:
        """The variables of the leaves under ``node``, ascending."""
        start, stop = self.spans[node]
        return np.sort(self.order[start:stop])

    @property
    def splits(self) -> int:
        """Number of inner nodes."""
        return int((self.variable < 0).sum())

    @property
    def is_binary(self) -> bool:
        """Whether all inner nodes have two children."""
        return bool((np.diff(self.pointer)[self.variable < 0] == 2).all())

    def binary(self) -> Vtree:
        """A binary version: nodes with more children split them off from left to right."""
        nodes: list[int | Sequence[int]] = []
        new: list[int] = []
        for node in range(len(self)):
            if self.variable[node] >= 0:
                nodes.append(int(self.variable[node]))
            else:
                *others, last = [new[child] for child in self.children_of(node).tolist()]
                for child in reversed(others):
                    nodes.append((child, last))
                    last = len(nodes) - 1
            new.append(len(nodes) - 1)
        return Vtree.of(nodes)

    def to_text(self) -> str:
        """The tree (or its `binary` version) as a ``.vtree`` file; variables count from 1."""
        tree = self if self.is_binary else self.binary()
        lines = [f"vtree {len(tree)}"]
        for node, variable in enumerate(tree.variable.tolist()):
            if variable >= 0:
                lines.append(f"L {node} {variable + 1}")
            else:
                left, right = tree.children_of(node).tolist()
                lines.append(f"I {node} {left} {right}")
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str, source: str = "<vtree>") -> Vtree:
        """The tree of a ``.vtree`` file, with ids replaced by positions.

        Raises:
            CircuitError: Names the line that is wrong.
        """
        place: dict[str, int] = {}
        nodes: list[int | Sequence[int]] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0] in ("c", "vtree"):
                continue
            node = _node(words, place)
            if node is None:
                raise CircuitError.of(
                    "PC124",
                    f"{line.strip()!r} is not a valid vtree line",
                    location=f"{source}:{number}",
                    help="write 'L id variable' or 'I id left right'; children come first",
                )
            place[words[1]] = len(nodes)
            nodes.append(node)
        return cls.of(nodes)

    def write(self, path: str | Path) -> None:
        """Write a ``.vtree`` file, see `to_text`, whole or not at all.

        Raises:
            FileError: If it cannot be written.
        """
        write_bytes(path, self.to_text().encode())

    @classmethod
    def read(cls, path: str | Path) -> Vtree:
        """Read a ``.vtree`` file, see `from_text`.

        Raises:
            CircuitError: If it cannot be read or is not a vtree.
        """
        try:
            text = read_text(path)
        except (OSError, UnicodeDecodeError) as error:
            raise CircuitError.of(
                "PC124", f"{path} cannot be read as a vtree: {error}", help="give a .vtree file"
            ) from None
        return cls.from_text(text, str(path))

    def describe(self, names: Sequence[str]) -> str:
        """One line per node, indented by depth: a variable, or the number of variables below."""
        lines: list[str] = []
        stack = [(self.root, 0)]
        while stack:
            node, depth = stack.pop()
            variable = int(self.variable[node])
            start, stop = self.spans[node].tolist()
            lines.append("  " * depth + (names[variable] if variable >= 0 else f"({stop - start})"))
            stack += [(child, depth + 1) for child in reversed(self.children_of(node).tolist())]
        return "\n".join(lines) + "\n"


def _node(words: list[str], place: dict[str, int]) -> int | Sequence[int] | None:
    """The node of a line, or ``None`` if the line is invalid."""
    number = len(words) == 3 and words[0] == "L" and words[2].isdecimal() and len(words[2]) < 19
    if number and int(words[2]) > 0:
        return None if words[1] in place else int(words[2]) - 1
    known = len(words) == 4 and words[0] == "I" and words[2] in place and words[3] in place
    return (place[words[2]], place[words[3]]) if known and words[1] not in place else None
