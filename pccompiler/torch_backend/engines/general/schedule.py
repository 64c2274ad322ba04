"""In which order a GPU runs the instructions of a program, and who reads what.

A *level* is work that can run at once. Upwards there is one for each depth of the circuit;
downwards two, since flows of units have to be known before sums pass them on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.general.code import FIELDS, Op, Program

Bool = NDArray[np.bool_]

UNITS = 8
"""Units of a dense sum that one thread computes; half as many in gradients."""
OPERANDS = 8
"""Operands of a sum that one thread serves on the way down."""


@dataclass(frozen=True, eq=False)
class Work:
    """Items of work, level by level.

    Attributes:
        items: Shape ``(items, 2)``: an instruction, and the first unit or operand.
        levels: Shape ``(levels + 1,)``: the first item of each level.
    """

    items: Int
    levels: Int


@dataclass(frozen=True, eq=False)
class Schedule:
    """What the kernels need to know besides the instructions.

    Attributes:
        up: The way up.
        down: The way down. A negative second number, ``-1 - first``, passes flows on.
        choices: All instructions from the root down, each after all that may reach it.
        push: Shape ``(instructions,)``: the number of the first flow that a sum passes on.
        passed: How many flows all sums pass on.
        readers: Shape ``(slots + 1,)``: where the readers of each slot start in ``reads``.
        reads: Slots of products, or ``-1 -`` the number of a flow that is passed on.
        blocks: Shape ``(blocks, 4)``: blocks of weights of sums, each an instruction that uses the
            weight, the first unit, the first operand, and the number of the weight.
        leaves: Shape ``(weights of leaves, 2)``: an instruction and the number of the weight.
        starts: Shape ``(weights + 1,)``: where the users of each weight start in ``users``.
        users: Instructions.
    """

    up: Work
    down: Work
    choices: Work
    push: Int
    passed: int
    readers: Int
    reads: Int
    blocks: Int
    leaves: Int
    starts: Int
    users: Int


def schedule_of(plan: Plan, program: Program) -> Schedule:
    """The schedule of a program."""
    code = dict(zip(FIELDS, program.code.astype(np.int64).T, strict=True))
    depth = np.repeat(_depths(plan), np.diff(program.starts))
    is_sum, alone, pushes = _pushes(code)
    push = segments(pushes)
    readers, reads = _readers(program, code, push, is_sum)
    starts, users = _users(code, is_sum)
    return Schedule(
        up=_up(code, depth),
        down=_down(code, depth, pushes, states=program.states),
        choices=_by_level(depth.max() - depth, np.arange(len(depth)), np.zeros_like(depth)),
        push=push[:-1],
        passed=int(push[-1]),
        readers=readers,
        reads=reads,
        blocks=_blocks(code, users[starts[:-1]], alone, is_sum),
        leaves=_leaves(code, users[starts[:-1]]),
        starts=starts,
        users=users,
    )


def passed_on(program: Program) -> int:
    """How many flows all sums pass on, each for every row."""
    code = dict(zip(FIELDS, program.code.astype(np.int64).T, strict=True))
    return int(_pushes(code)[2].sum())


def _pushes(code: dict[str, Int]) -> tuple[Bool, Bool, Int]:
    """Whether an instruction is a sum, mixes unit by unit, and how many flows it passes on."""
    is_sum = np.isin(code["op"], (Op.SUM, Op.MIXTURE))
    alone = (code["op"] == Op.MIXTURE) | (code["units"] == 1)
    return is_sum, alone, np.where(is_sum, code["count"] * np.where(alone, code["units"], 1), 0)


def _depths(plan: Plan) -> Int:
    """The depth of each layer: leaves have depth 0."""
    depths: list[int] = []
    for layer in plan.layers:
        depths.append(1 + max((depths[below] for below in layer.below), default=-1))
    return np.array(depths, np.int64)


def _spread(counts: Int) -> tuple[Int, Int]:
    """For each of ``counts[i]`` members of each i: i, and the member's number."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(segments(counts)[:-1], counts)


def _by_level(level: Int, numbers: Int, firsts: Int) -> Work:
    order = np.argsort(level, kind="stable")
    sizes = np.bincount(level)
    return Work(np.stack([numbers[order], firsts[order]], axis=1), segments(sizes[sizes > 0]))


def _up(code: dict[str, Int], depth: Int) -> Work:
    step = np.where((code["op"] == Op.SUM) & (code["units"] > 1), UNITS, 1)
    owner, number = _spread(-(-code["units"] // step))
    return _by_level(depth[owner], owner, number * step[owner])


def _down(code: dict[str, Int], depth: Int, pushes: Int, *, states: bool) -> Work:
    top = int(depth.max())
    unread = (code["op"] == Op.INDICATOR) & (not states)  # no weight needs its flow
    flows, unit = _spread(np.where(unread, 0, code["units"]))
    sums, block = _spread(-(-pushes // OPERANDS))
    level = np.concatenate([2 * (top - depth[flows]), 2 * (top - depth[sums]) + 1])
    firsts = np.concatenate([unit, -1 - block * OPERANDS])
    return _by_level(level, np.concatenate([flows, sums]), firsts)


def _readers(program: Program, code: dict[str, Int], push: Int, is_sum: Bool) -> tuple[Int, Int]:
    """The readers of each slot, in the order of instructions."""
    op, units, count = code["op"], code["units"], code["count"]
    vector = np.isin(op, (Op.PRODUCT, Op.MIXTURE))  # items are first slots
    owner, number = _spread(np.where(op == Op.SUM, count, count * units))
    width = units[owner]
    wide = vector[owner]
    item = code["first"][owner] + np.where(wide, number // width, number)
    slot = program.items[item].astype(np.int64) + np.where(wide, number % width, 0)
    reader = np.where(
        is_sum[owner], -1 - (push[owner] + number), code["out"][owner] + number % width
    )
    order = np.argsort(slot, kind="stable")
    return segments(np.bincount(slot, minlength=program.slots)), reader[order]


def _users(code: dict[str, Int], is_sum: Bool) -> tuple[Int, Int]:
    """Where the users of each weight start, and the users."""
    users = np.flatnonzero(is_sum | (code["op"] == Op.TABLE))
    is_leaf = code["op"][users] == Op.TABLE  # which may share its weight with a sum
    key = np.stack([code["table"][users], code["place"][users], is_leaf], axis=1)
    _, owner = np.unique(key, axis=0, return_inverse=True)
    owner = owner.ravel()
    return segments(np.bincount(owner)), users[np.argsort(owner, kind="stable")]


def _blocks(code: dict[str, Int], first: Int, alone: Bool, is_sum: Bool) -> Int:
    weights = np.flatnonzero(is_sum[first])
    one = first[weights]
    step = np.where(alone[one], 1, UNITS // 2)
    across = -(-code["count"][one] // OPERANDS)
    owner, number = _spread(-(-code["units"][one] // step) * across)
    unit, operand = number // across[owner] * step[owner], number % across[owner] * OPERANDS
    return np.stack([one[owner], unit, operand, weights[owner]], axis=1)


def _leaves(code: dict[str, Int], first: Int) -> Int:
    weights = np.flatnonzero(code["op"][first] == Op.TABLE)
    return np.stack([first[weights], weights], axis=1)
