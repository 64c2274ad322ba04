"""Vtrees: binary trees over variables, beside PSDD and SDD files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pccompiler.imports.lines import Lines


@dataclass(frozen=True)
class Vtree:
    """A vtree as its file numbers it.

    Attributes:
        leaves: Node id to the number of its variable, from 1.
        children: Inner node id to (left, right).
    """

    leaves: dict[int, int]
    children: dict[int, tuple[int, int]]

    @property
    def variables(self) -> list[int]:
        """Numbers of all variables, ascending."""
        return sorted(self.leaves.values())

    def below(self) -> dict[int, frozenset[int]]:
        """Node id to the ids of its subtree, itself among them."""
        result = {leaf: frozenset([leaf]) for leaf in self.leaves}
        for node, (left, right) in self.children.items():
            result[node] = result[left] | result[right] | {node}
        return result


def read_vtree(path: str | Path) -> Vtree:
    """Read a ``.vtree`` file: ``vtree N``, ``L id variable``, ``I id left right``, bottom-up.

    Raises:
        ImportFormatError: Naming the file and line that is wrong.
    """
    lines = Lines(Path(path), "c")
    leaves: dict[int, int] = {}
    children: dict[int, tuple[int, int]] = {}
    count: int | None = None
    for words in lines:
        if words[0] == "vtree" and len(words) == 2 and count is None:
            count = lines.integer(words[1], "the number of nodes")
        elif words[0] == "L" and len(words) == 3:
            leaves[lines.integer(words[1], "the id")] = lines.integer(words[2], "the variable")
        elif words[0] == "I" and len(words) == 4:
            node, left, right = (lines.integer(word, "an id") for word in words[1:])
            if not {left, right} <= leaves.keys() | children.keys():
                lines.fail("PC704", "a child is not declared above", "write children first")
            children[node] = (left, right)
        else:
            lines.fail("PC702", "this is no line of a vtree", "write 'L id var', 'I id left right'")
    if count != len(leaves) + len(children):
        lines.fail(
            "PC705",
            f"the file has {len(leaves) + len(children)} nodes, its header says {count}",
            "it may be cut short; fetch it again",
            here=False,
        )
    if len(set(leaves.values())) != len(leaves):
        lines.fail("PC704", "a variable has two leaves", "give each one", here=False)
    return Vtree(leaves, children)
