"""Levels and consumers of a circuit's nodes, vectorised over the nodes of a level."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.ir.arrays import Int, ranges, segments
from pccompiler.ir.node_table import NodeTable


class Consumers(NamedTuple):
    """The consumers of each node: those of node i are ``nodes[pointer[i]:pointer[i + 1]]``."""

    pointer: Int
    nodes: Int


def find_consumers(circuit: NodeTable) -> Consumers:
    """Invert the operand lists; a node used twice by one consumer lists it twice."""
    owners = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    order = np.argsort(circuit.operands, kind="stable")
    counts = np.bincount(circuit.operands, minlength=circuit.num_nodes)
    return Consumers(segments(counts), owners[order])


def find_levels(circuit: NodeTable, consumers: Consumers) -> Int:
    """Longest distance of each node from the inputs, computed one level at a time."""
    waiting = circuit.fan_in.copy()
    levels = np.zeros(circuit.num_nodes, np.int64)
    frontier = np.flatnonzero(waiting == 0)
    level = 0
    while len(frontier):
        levels[frontier] = level
        lengths = consumers.pointer[frontier + 1] - consumers.pointer[frontier]
        users = consumers.nodes[ranges(consumers.pointer[frontier], lengths)]
        users, served = np.unique(users, return_counts=True)
        waiting[users] -= served
        frontier = users[waiting[users] == 0]
        level += 1
    return levels


def by_level(levels: Int) -> list[Int]:
    """The nodes of each level, ascending."""
    order = np.argsort(levels, kind="stable")
    return np.split(order, segments(np.bincount(levels))[1:-1])


def reachable(circuit: NodeTable) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Shape ``(nodes,)``: whether the root's value depends on the node."""
    seen = np.zeros(circuit.num_nodes, np.bool_)
    frontier = np.array([circuit.root])
    while len(frontier):
        seen[frontier] = True
        below = np.unique(circuit.operands[circuit.edges_of(frontier)])
        frontier = below[~seen[below]]
    return seen
