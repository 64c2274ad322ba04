"""Fused kernels of wide circuits: which plans fit, their tables, and their agreement."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler import structures
from pccompiler.ir import Builder, Circuit, categorical
from pccompiler.ir.variables import real
from pccompiler.passes import plan
from pccompiler.torch_backend.engines.base import NoMatch, Target
from pccompiler.torch_backend.engines.dense.engine import Dense
from pccompiler.torch_backend.engines.dense.match import regions_of
from pccompiler.torch_backend.engines.dense.parts import Chain, with_chains
from pccompiler.torch_backend.engines.dense.regions import Lists, Shape
from pccompiler.torch_backend.engines.questions import Wanted

TRITON = importlib.util.find_spec("triton") is not None
CUDA = Target(torch.device("cuda"), torch.float32)
CHECK = Path(__file__).with_name("dense_check.py")


def small_tree(units: int) -> Circuit:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 3, (50, 6))
    data[:, 1:] = np.where(rng.random((50, 5)) < 0.8, data[:, :-1], data[:, 1:])
    return structures.hclt(data, units)


def product_of_states() -> Circuit:
    build = Builder()
    pair = build.product([build.indicator(build.variable(categorical(name, 16))) for name in "ab"])
    return build.build(build.sum([build.sum([pair], 16)], 1))


def test_tree_becomes_a_region_for_each_variable() -> None:
    regions = regions_of(plan(small_tree(16)))
    assert [level.shape.units for level in regions.levels][-1] == 1
    assert {level.shape for level in regions.levels[:-1]} == {Shape(16, 16, 1)}
    assert sum(level.rows for level in regions.levels) == 6
    assert regions.sizes == (5 * 16 + 1, 6 * 16, 6 * 16 * 3)
    assert np.array_equal(np.sort(regions.variables), np.arange(6))
    assert np.array_equal(np.diff(regions.leaves.starts), np.ones(6))
    assert np.array_equal(np.sort(regions.children.items), np.arange(5))  # all but the root, once


def test_children_come_before_their_readers() -> None:
    regions = regions_of(plan(structures.quad_graph(4, 4, 16, states=2)))
    owner = np.repeat(np.arange(len(regions.products)), np.diff(regions.children.starts))
    region = np.searchsorted(regions.terms, owner, side="right") - 1
    assert (regions.children.items < region).all()
    assert max(level.shape.arity for level in regions.levels) == 2
    readers = regions.children.transposed(len(regions.values))
    assert np.diff(readers.starts).max() == 2


def steps(circuit: Circuit) -> list[int]:
    """The lengths of the plan's chains."""
    parts = with_chains(regions_of(plan(circuit)))
    return [len(part.levels) for part in parts if isinstance(part, Chain)]


def test_steps_of_hidden_markov_models_are_chains() -> None:
    real_ones = [real(f"x{i}") for i in range(9)]
    assert steps(pc.hmm(9, 16)) == [7]  # without the first, which reads only leaves, and the root
    assert steps(pc.hmm(real_ones, 16)) == [7]
    assert steps(pc.hmm(9, 200)) == []
    assert steps(structures.quad_tree(4, 4, 16, states=2)) == []
    assert steps(small_tree(16)) == []


def test_chains_hold_all_levels_once_and_in_order() -> None:
    regions = regions_of(plan(pc.hmm(9, 16)))
    found = [
        level
        for part in with_chains(regions)
        for level in (part.levels if isinstance(part, Chain) else (part,))
    ]
    assert tuple(found) == regions.levels


def test_sums_over_states_are_tables_and_roots_a_mixture() -> None:
    regions = regions_of(plan(pc.rat_spn(5, 3, 16, seed=0)))
    assert [(each.units, each.states) for each in regions.inputs] == [(16, 2)]
    assert sorted(regions.variables.tolist()) == sorted([*range(5)] * 3)
    assert regions.levels[-1].shape == Shape(1, 1, 3, mixture=True)
    assert regions.levels[-1].shape.columns == 3
    assert not regions.given


def test_densities_are_given() -> None:
    pixels = [real(f"p{number}") for number in range(8)]
    regions = regions_of(plan(structures.quad_tree(2, 4, 16, variables=pixels)))
    assert [(each.rows, each.units) for each in regions.given] == [(8, 16)]
    assert not regions.inputs
    assert len(regions.values) == 8 + sum(level.rows for level in regions.levels)
    assert set(regions.children.items.tolist()) >= set(range(8))


def test_lists_transposed() -> None:
    lists = Lists.of([[2, 0], [], [2]])
    assert lists.starts.tolist() == [0, 2, 2, 3]
    turned = lists.transposed(4)
    assert turned.starts.tolist() == [0, 1, 1, 3, 3]
    assert turned.items.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("circuit", "why"),
    [
        (small_tree(3), "3 units"),
        (product_of_states(), "states of a variable"),
        (structures.quad_tree(2, 2, 16, states=2, product="kronecker"), "kronecker"),
    ],
)
def test_other_plans_are_refused(circuit: Circuit, why: str) -> None:
    found = Dense.match(plan(circuit), CUDA, Wanted.VALUE)
    assert isinstance(found, NoMatch)
    assert re.search(why, found.reason)


@pytest.mark.skipif(TRITON, reason="Triton is installed")
def test_triton_is_asked_for() -> None:
    found = Dense.match(plan(small_tree(16)), CUDA, Wanted.VALUE)
    assert isinstance(found, Dense)
    model = pc.compile(small_tree(16))
    with pytest.raises(NoMatch, match="Triton"):
        found.load(model.weights, model.engines.evaluate)


def check(**environment: str) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECK)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    not TRITON or torch.cuda.is_available(),
    reason="needs Triton; on CUDA the kernels themselves are compared",
)
def test_agrees_with_the_layers_under_the_interpreter() -> None:
    check(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.gpu
@pytest.mark.skipif(not (TRITON and torch.cuda.is_available()), reason="needs CUDA and Triton")
def test_agrees_with_the_layers_on_cuda() -> None:
    check()
