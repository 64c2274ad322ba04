"""Circuits whose roots are the heads of classes, against one circuit for each head."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch

import pccompiler as pc
from pccompiler.errors import PCCompilerError
from pccompiler.ir import Builder, Circuit, binary, parse, real, to_text
from pccompiler.ir.arrays import Float
from pccompiler.passes import verify
from pccompiler.testing import density, worlds
from pccompiler.testing.random_weights import random_weights, with_values
from pccompiler.testing.refusals import refusals

Golden = Callable[[str], None]
CLASSES = 3


def trunk() -> tuple[Builder, int]:
    """A builder over four variables, and a node of five units."""
    b = Builder([binary(f"x{i}") for i in range(4)])
    leaves = [b.bernoulli(v, weight=f"leaf{v}", units=5) for v in range(4)]
    return b, b.sum([b.product(leaves)], 5, weight="trunk")


def heads(b: Builder, below: int) -> list[int]:
    return [b.sum([below], weight=f"head{k}") for k in range(CLASSES)]


def filled(circuit: Circuit) -> Circuit:
    """Random values; equal names get equal values, whatever else is in the circuit."""
    values = dict(circuit.weights.values)
    for weight, name in circuit.weights.names.items():
        rng = np.random.default_rng(list(name.encode()))
        shape = circuit.weights.rows[weight], circuit.weights.columns[weight]
        leaf = name.startswith("leaf")
        values[weight] = rng.random(shape) if leaf else rng.dirichlet(np.ones(shape[1]), shape[0])
    return circuit.with_values(values)


def values_of(circuit: Circuit) -> Float:
    return np.array([density(circuit, world) for world in worlds(circuit)])


def test_the_circuit_is_the_joint_distribution_of_the_heads_and_the_class() -> None:
    b, below = trunk()
    found = b.build(heads(b, below), classes="label")
    verify(found)
    assert [v.name for v in found.variables] == ["x0", "x1", "x2", "x3", "label"]
    root = int(found.weight[found.root])
    prior = np.array([[0.5, 0.3, 0.2]])
    joint = filled(found)
    joint = joint.with_values({**joint.weights.values, root: prior})
    apart: list[Float] = []
    for k in range(CLASSES):
        own, node = trunk()
        apart.append(values_of(filled(own.build(own.sum([node], weight=f"head{k}")))))
    want = np.stack(apart, axis=1) * prior
    np.testing.assert_allclose(values_of(joint).reshape(-1, CLASSES), want, rtol=1e-12)


def test_units_of_one_node_are_heads_too() -> None:
    b, below = trunk()
    found = b.build(b.sum([below], CLASSES), classes="label")
    verify(found)
    joint = with_values(found, random_weights(found, 1))
    model = pc.compile(joint, dtype="float64")
    rows = torch.from_numpy(worlds(joint))
    both = model(rows).view(-1, CLASSES)
    got = model.classify(rows[::CLASSES], "label").log_probability
    torch.testing.assert_close(got, both.log_softmax(1))


def test_heads_share_the_nodes_below_them() -> None:
    b, below = trunk()
    shared = b.build(heads(b, below), classes="label")
    assert shared.num_nodes == 6 + CLASSES * 3 + 1  # trunk; head, literal and product; root


def test_the_builder_can_go_on() -> None:
    b, below = trunk()
    one, two, _ = heads(b, below)
    assert len(b.build([one, two], classes="label").variables) == 5
    assert len(b.build(b.sum([one, two])).variables) == 4


def test_text_round_trip() -> None:
    b, below = trunk()
    found = b.build(heads(b, below), classes="label")
    assert parse(to_text(found)) == found


def test_refusals(golden: Golden) -> None:
    b, below = trunk()
    one, two, _ = heads(b, below)
    other = Builder([real("a"), real("b")])
    halves = [other.gaussian(v) for v in (0, 1)]
    attempts: list[Callable[[], object]] = [
        lambda: b.build([one, two]),
        lambda: b.build([one], classes="label"),
        lambda: b.build([], classes="label"),
        lambda: b.build([one, below], classes="label"),
        lambda: b.build([one, two], classes="x0"),
        lambda: b.build([one, 99], classes="label"),
        lambda: verify(other.build(halves, classes="label")),
    ]
    text = refusals(attempts, PCCompilerError)
    golden(re.sub(r"(, )?\S*test_classes.py:\d+(: )?", "", text))


def test_fitting_learns_the_classes() -> None:
    """Each class has its own favourite pattern; the classifier finds it with a value missing."""
    b = Builder([binary(f"x{i}") for i in range(4)])
    leaves = [b.bernoulli(v, units=8) for v in range(4)]
    model = pc.compile(b.build(b.sum([b.product(leaves)], 4), classes="label"), seed=1)
    label = np.arange(400) % 4
    rows = np.stack([label & 1, label & 1, label >> 1, label >> 1, label], axis=1).astype(float)
    pc.fit_em(model, rows, iterations=30, progress=False)
    asked = rows[:4].copy()
    asked[:, [0, 4]] = np.nan
    assert model.classify(asked, "label").label.tolist() == [0, 1, 2, 3]
