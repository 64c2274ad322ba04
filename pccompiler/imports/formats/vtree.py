"""Reads vtrees: binary trees over variables that belong to PSDD and SDD files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pccompiler.imports.formats.lines import Lines


@dataclass(frozen=True)
class Vtree:
    """A vtree with the node ids of its file.

    Attributes:
        leaves: Node id to the number of its variable, from 1.
        children: Inner node id to (left, right); children are declared first.
    """

    leaves: dict[int, int]
    children: dict[int, tuple[int, int]]

    @property
    def variables(self) -> list[int]:
        """Numbers of all variables, ascending."""
        return sorted(self.leaves.values())

    @property
    def root(self) -> int:
        """The root, which is declared last."""
        return next(reversed(self.children or self.leaves))

    @cached_property
    def spans(self) -> dict[int, tuple[int, int]]:
        """Node id to the range (start, stop) of its leaves, counted from left to right."""
        size = dict.fromkeys(self.leaves, 1)
        for node, (left, right) in self.children.items():
            size[node] = size[left] + size[right]
        start = {self.root: 0}
        for node, (left, right) in reversed(self.children.items()):
            start[left] = start[node]
            start[right] = start[node] + size[left]
        return {node: (start[node], start[node] + size[node]) for node in size}

    def beneath(self, node: int, above: int, side: int) -> bool:
        """Whether ``node`` is under the left (``side`` 0) or right (1) child of ``above``."""
        if above not in self.children:
            return False
        (low, high), (start, stop) = self.spans[node], self.spans[self.children[above][side]]
        return start <= low and high <= stop


def read_vtree(path: str | Path) -> Vtree:
    """Read a ``.vtree`` file: ``vtree N``, ``L id variable``, ``I id left right``, bottom-up.

    Raises:
        ImportFormatError: Names the file and line that is wrong.
    """
    lines = Lines(Path(path), "c")
    tree = Vtree({}, {})
    free: set[int] = set()
    count: int | None = None
    for words in lines:
        if words[0] == "vtree" and len(words) == 2 and count is None:
            count = lines.integer(words[1], "the number of nodes")
        elif (words[0], len(words)) in (("L", 3), ("I", 4)):
            _node(lines, tree, free, words)
        else:
            lines.fail("PC702", "not a valid vtree line", "write 'L id var' or 'I id left right'")
    lines.count(len(tree.leaves) + len(tree.children), count)
    _check(lines, tree, free)
    return tree


def _node(lines: Lines, tree: Vtree, free: set[int], words: list[str]) -> None:
    """Add the node of a line; ``free`` has the nodes without a parent so far."""
    node, *rest = (lines.integer(word, "a number") for word in words[1:])
    if node in tree.leaves or node in tree.children:
        lines.fail("PC704", f"vtree node {node} is declared twice", "restore the file")
    if words[0] == "L":
        if rest[0] < 1:
            lines.fail("PC704", f"{rest[0]} is not a variable", "variables count from 1")
        tree.leaves[node] = rest[0]
    else:
        for child in rest:
            if child not in free:
                known = child in tree.leaves or child in tree.children
                what = "already has a parent" if known else "is not declared above"
                lines.fail("PC704", f"vtree node {child} {what}", "write each child once, first")
            free.remove(child)
        tree.children[node] = (rest[0], rest[1])
    free.add(node)


def _check(lines: Lines, tree: Vtree, free: set[int]) -> None:
    """Refuse several roots, and variables without exactly one leaf."""
    if len(free) != 1:
        what = ", ".join(str(node) for node in sorted(free)[:5]) or "none"
        lines.fail("PC709", f"the vtree has {len(free)} roots: {what}",
                   "keep one node without a parent", here=False)  # fmt: skip
    for wanted, variable in enumerate(tree.variables, 1):
        if variable != wanted:
            what = "has two leaves" if variable < wanted else "has no leaf"
            lines.fail("PC704", f"variable {min(variable, wanted)} {what}",
                       "give each of the variables 1, 2, ... one leaf", here=False)  # fmt: skip
