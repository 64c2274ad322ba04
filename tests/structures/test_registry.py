"""Structures by name: all of ours, with options as text and as arguments."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction, signature

import numpy as np
import pytest

import pccompiler as pc
from pccompiler import structures
from pccompiler.errors import OptionError
from pccompiler.ir import binary
from pccompiler.structures.registry import STRUCTURES, make, options_of

Golden = Callable[[str], None]
VARIABLES = [binary(name) for name in "abcd"]
ROWS = np.random.default_rng(0).integers(0, 2, (200, 4))
IMAGE = "{height=2,width=2}"
NEEDED = {"poon-domingos": IMAGE, "quad-tree": IMAGE, "quad-graph": IMAGE}


def test_every_function_that_makes_a_circuit_is_at_the_top_and_has_a_name_on_the_command_line() -> (
    None
):
    made = {
        name
        for name in structures.__all__
        if isfunction(getattr(structures, name))
        and signature(getattr(structures, name)).return_annotation == "Circuit"
    }
    assert all(getattr(pc, name) is getattr(structures, name) for name in made)
    named = {name.replace("-", "_") for name in STRUCTURES}
    assert made - named == {"naive_bayes_mixture", "mixture_of"}  # called mixture; takes circuits
    assert named - made == {"mixture"}


@pytest.mark.parametrize("name", list(STRUCTURES))
def test_each_can_be_made_by_its_name(name: str) -> None:
    circuit = make(name + NEEDED.get(name, ""), VARIABLES, ROWS)
    assert list(circuit.variables) == VARIABLES
    assert not pc.passes.findings(circuit)
    assert STRUCTURES[name].__doc__


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("rat-spn{units=3,replicas=2,depth=none}", pc.rat_spn(VARIABLES, 2, 3, 7)),
        ("rat-spn{seed=1}", pc.rat_spn(VARIABLES, seed=1)),
        ("hmm{units=3,homogeneous=false}", pc.hmm(VARIABLES, 3, homogeneous=False)),
        ("hmm{leaf=bernoulli,rank=2}", pc.hmm(VARIABLES, 5, rank=2, leaf="bernoulli")),
        ("mixture{units=4}", pc.naive_bayes_mixture(VARIABLES, 4)),
        ("hclt{units=3}", pc.hclt(ROWS, 3, variables=VARIABLES)),
        ("chow-liu{pseudocount=0.5}", pc.chow_liu(ROWS, VARIABLES, pseudocount=0.5)),
        ("learn-spn{min_rows=9}", pc.learn_spn(ROWS, VARIABLES, min_rows=9, seed=7)),
        ("random-tree{split=random}", pc.random_tree(VARIABLES, split="random", seed=7)),
        ("quad-tree{height=1,width=4,units=2}", pc.quad_tree(1, 4, 2, variables=VARIABLES)),
        ("quad-graph{height=2,width=2,units=2}", pc.quad_graph(2, 2, 2, variables=VARIABLES)),
        ("poon-domingos{height=4,width=1,delta=2}",
         pc.poon_domingos(4, 1, 5, delta=2, variables=VARIABLES)),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)  # fmt: skip
def test_options_reach_the_function(text: str, same: pc.Circuit) -> None:
    assert make(text, VARIABLES, ROWS, seed=7) == same


def test_values_of_options_without_a_default_are_usual_ones() -> None:
    def tree(variables: object, units, replicas, *, depth, seed):  # type: ignore[no-untyped-def]
        seen.update(units=units, replicas=replicas, depth=depth, seed=seed)
        return pc.hmm(4, 2)

    seen: dict[str, object] = {}
    STRUCTURES.add("tree", tree)
    try:
        make("tree{units=3}", VARIABLES, seed=9)
    finally:
        STRUCTURES.remove("tree")
    assert seen == {"units": 3, "replicas": 50, "depth": None, "seed": 9}
    assert list(options_of(tree)) == ["units", "replicas", "depth", "seed"]


def test_errors(golden: Golden) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: make("chow_liu", VARIABLES, ROWS),
        lambda: make("hmm{", VARIABLES),
        lambda: make("hmm{rank}", VARIABLES),
        lambda: make("hmm{ranks=2}", VARIABLES),
        lambda: make("hmm{rank=2,rank=3}", VARIABLES),
        lambda: make("hmm{rank=two}", VARIABLES),
        lambda: make("hmm{rank=0}", VARIABLES),
        lambda: make("hmm{leaf=beta}", VARIABLES),
        lambda: make("hmm{homogeneous=0}", VARIABLES),
        lambda: make("hmm{units=3}", VARIABLES, units=3),
        lambda: make("hmm", VARIABLES, replicas=3),
        lambda: make("random-tree{split=blanced}", VARIABLES),
        lambda: make("quad-tree", VARIABLES),
        lambda: make("quad-tree{height=3,width=2}", VARIABLES),
        lambda: make("hclt", VARIABLES),
    ]
    messages: list[str] = []
    for attempt in attempts:
        with pytest.raises(OptionError) as caught:
            attempt()
        messages.append(str(caught.value))
    golden("\n".join(messages))
