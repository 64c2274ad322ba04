"""Unexpected texts: any order of lines, and any damage."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pccompiler.errors import PCCompilerError
from pccompiler.ir import Circuit, parse, to_text
from pccompiler.ir.circuit import select
from pccompiler.ir.topology import reachable
from pccompiler.testing import density
from pccompiler.testing.strategies import Broken, broken_circuits, circuits, rows

Golden = Callable[[str], None]

HEAD = "pcir 1\nvariable rain binary\nvariable wind categorical 3\nvariable heat real\n"
NODES = (
    "%a = input rain indicator 2\n%b = input wind categorical 2 @b\n%c = sum 2 %a @c\n"
    "%h = input heat gaussian 2 @h\n%d = product %c %b %h\n%m = mixture %d %d @m\n"
    "%k = sum 1 %m %d @k\n"
)
TAIL = (
    "root %k\nweight @c 0.25 0.75 ; 1 0\nsectors by=rows size=2 mixtures=true\n"
    "generator hypernetwork embedding=5 hidden=20x20 heads=slice\n"
)
GOOD_WORDS = sorted({*(HEAD + NODES + TAIL).split()})
BAD_WORDS = ["%", "@", "=", ";", "#", "0", "-1", "nan", "x=y", "hidden=0x", "mixtures=maybe"]
NUMBERS = ["99999999999999999999", "\u00b2", "\u0663"]  # too large; digits of other kinds
WORDS: list[str] = GOOD_WORDS + BAD_WORDS + NUMBERS


@given(circuits(reals=True, max_variables=3), st.randoms(use_true_random=False), st.integers(0, 99))
def test_any_order_of_lines_gives_the_same_function(
    circuit: Circuit, random: Random, seed: int
) -> None:
    lines = to_text(circuit).splitlines()
    declared = 1 + len(circuit.variables)
    rest = lines[declared:]
    random.shuffle(rest)
    shuffled = parse("\n".join(lines[:declared] + rest))
    for row in rows(circuit, seed, number=3, missing=0.0):
        assert density(shuffled, row) == density(circuit, row)
    assert shuffled.statistics == circuit.statistics


@given(broken_circuits())
def test_ill_formed_circuits_are_printed_and_parsed_too(broken: Broken) -> None:
    assert parse(to_text(broken.circuit)) == broken.circuit


@given(broken_circuits().filter(lambda broken: broken.code == "PC105"))
def test_pruned_circuits_are_printed_and_parsed(broken: Broken) -> None:
    pruned = select(broken.circuit, reachable(broken.circuit))
    assert pruned.num_nodes == broken.circuit.num_nodes - 1
    assert parse(to_text(pruned)) == pruned


def test_pruning_numbers_weights_as_the_parser_does() -> None:
    circuit = parse(
        "pcir 1\nvariable x binary\n%dead = input x bernoulli 1 @first\n"
        "%a = input x bernoulli 1 @second\n%b = input x bernoulli 1 @first\n"
        "%r = sum 1 %a %b @r\nroot %r\nweight @first 0.25\nweight @second 0.5\n"
    )
    pruned = select(circuit, reachable(circuit))
    assert parse(to_text(pruned)) == pruned
    assert pruned.weights.values[0] == 0.5
    assert pruned.weights.label(0) == "@second"


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A valid text after one to three edits of words or lines."""
    lines: list[list[str]] = [[*line.split()] for line in (HEAD + NODES + TAIL).splitlines()]
    for _ in range(draw(st.integers(1, 3))):
        line = draw(st.sampled_from(lines))
        at = draw(st.integers(0, len(line)))
        edit = draw(st.sampled_from(["insert", "replace", "delete", "repeat", "remove"]))
        if edit in ("insert", "replace"):
            line[at : at + (edit == "replace")] = [draw(st.sampled_from(WORDS))]
        elif edit == "delete":
            del line[at : at + 1]
        elif edit == "repeat":
            lines.append(list(line))
        else:
            lines = [other for other in lines if other is not line] or [["pcir", "1"]]
    return "\n".join(" ".join(line) for line in lines)


@settings(max_examples=600)
@given(damaged())
def test_damage_is_refused_with_a_place_or_read_as_something(text: str) -> None:
    found = read(text)
    if isinstance(found, Circuit):
        finite = all(np.isfinite(table).all() for table in found.weights.values.values())
        assert not finite or parse(to_text(found)) == found
    else:
        assert all((d.location or "").startswith("garden.pcir:") for d in found.diagnostics)
        assert all(d.help for d in found.diagnostics)


def read(text: str) -> Circuit | PCCompilerError:
    try:
        return parse(text, "garden.pcir")
    except PCCompilerError as error:
        return error


WRONG = {
    "huge": "variable hail categorical 99999999999999999999\n",
    "no-units": NODES + "%e = sum 0 %m @e\n",
    "negative-units": NODES + "%e = sum -1 %m @e\n",
    "input-without-units": "%e = input rain bernoulli 0 @e\n",
    "two-roots": NODES + "root %k\nroot %m\n",
    "values-twice": NODES + "weight @c 0.5 0.5 ; 0 1\nweight @c 0 1 ; 0 1\n",
    "bad-number": NODES + "weight @c 0.5 half ; 0 1\n",
    "bad-floor": NODES + "generator direct floor=small\n",
    "bad-flag": NODES + "sectors by=rows mixtures=maybe\n",
    "self-cycle": "%e = sum 1 %e @e\nroot %e\n",
}


def test_more_parse_errors(golden: Golden) -> None:
    messages: list[str] = []
    for name, text in WRONG.items():
        with pytest.raises(PCCompilerError) as caught:
            parse(HEAD + text, "garden.pcir")
        messages.append(f"# {name}\n{caught.value}\n")
    golden("\n".join(messages))
