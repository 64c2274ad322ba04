"""The text form: round trip, golden output, errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import PCCompilerError
from pccompiler.ir import Builder, Direct, Hypernetwork, Sectors, categorical, parse, to_text
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.sectors import partition
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]


def garden() -> Circuit:
    """One node of each kind, names, shared weights, given values."""
    b = Builder()
    rain, wind, heat = b.binary("rain"), b.variable(categorical("wind", 3)), b.real("heat")
    r = b.sum([b.indicator(rain, name="rain")], weights=[[0.9, 0.1], [0.25, 0.75]], name="r")
    w = b.categorical(wind, units=2, weight="wind")
    h = b.gaussian(heat, [[0.0, 1.0], [20.0, 4.5]], name="heat")
    both = b.kronecker([r, w])
    plain = b.sum([b.product([r, w]), b.product([r, w])], 4, weight="mix")
    mixed = b.mixture([both, plain], weight="top")
    narrow = b.sum([mixed], 2)
    return b.build(b.sum([b.product([narrow, h])], 1, name="root"))


def test_garden(golden: Golden) -> None:
    circuit = partition(garden(), Sectors(by="rows", size=2)).replace(generator=Hypernetwork())
    text = to_text(circuit)
    assert parse(text) == circuit
    golden(text)


@given(circuits(reals=True))
def test_round_trip(circuit: Circuit) -> None:
    again = parse(to_text(circuit))
    assert again == circuit
    assert to_text(again) == to_text(circuit)
    assert again.fingerprint == circuit.fingerprint


@given(
    circuits(values=False),
    st.sampled_from(["block", "rows", "size"]),
    st.integers(1, 5),
    st.sampled_from(
        [Direct(), Direct(floor=0.0), Hypernetwork(hidden=()), Hypernetwork(heads="slice")]
    ),
)
def test_round_trip_of_annotations(
    circuit: Circuit, by: str, size: int, net: pc.Hypernetwork
) -> None:
    policy = Sectors(by=by, size=size, mixtures=True)  # type: ignore[arg-type]  # drawn text
    attached = partition(circuit, policy).replace(generator=net)
    again = parse(to_text(attached))
    assert again == attached
    assert again.sectors is not None
    assert attached.sectors is not None
    assert np.array_equal(again.sectors.offset, attached.sectors.offset)


def test_equality_notices_every_column() -> None:
    text = to_text(garden())
    for old, new in (
        ("%r %2", "%2 %r"),
        ("indicator 2", "bernoulli 2 @new"),
        ("0.25", "0.2500000001"),
        ("%heat", "%warm"),
        ("categorical 3", "categorical 4"),
        ("@mix", "@other"),
    ):
        assert old in text
        assert parse(text.replace(old, new)) != parse(text)


def test_nodes_may_come_in_any_order_and_with_comments() -> None:
    text = (
        "pcir 1  # a comment\n\nroot %top\n%top = sum 1 %p @t\n%p = product %a %b\n"
        "variable x binary\nvariable y binary\n"
        "%a = input x bernoulli 2 @a\n%b = input y bernoulli 2 @b\n"
    )
    circuit = parse(text, "garden.pcir")
    assert circuit.label(circuit.root) == "%top"
    assert circuit.where(circuit.root) == "garden.pcir:4"
    assert parse(to_text(circuit)) == circuit


HEAD = "pcir 1\nvariable rain binary\nvariable wet binary\n"
NODES = (
    "%a = input rain indicator 2\n%b = input wet bernoulli 1 @b\n"
    "%c = sum 1 %a @c\n%d = product %c %b\n"
)
WRONG = {
    "no-version": "variable rain binary\n",
    "empty": "",
    "unknown-statement": HEAD + "varable hail binary\n",
    "malformed-variable": HEAD + "variable hail\n",
    "variable-twice": HEAD + "variable rain real\n",
    "one-state": HEAD + "variable hail categorical 1\n",
    "not-a-number": HEAD + "variable hail categorical two\n",
    "unknown-kind": HEAD + "%a = prodct %b\n",
    "node-twice": HEAD + NODES + "%a = product %c\nroot %d\n",
    "no-equals": HEAD + "%a input rain indicator 2\n",
    "unknown-variable": HEAD + "%a = input rian indicator 2\n",
    "unknown-family": HEAD + "%a = input rain binomail 2 @a\n",
    "weight-missing": HEAD + "%a = input rain bernoulli 2\n",
    "weight-unwanted": HEAD + "%a = input rain indicator 2 @a\n",
    "bad-operand": HEAD + NODES + "%e = product %c b\n",
    "unknown-node": HEAD + NODES + "%e = product %c %bb\nroot %e\n",
    "no-root": HEAD + NODES,
    "unknown-root": HEAD + NODES + "root %e\n",
    "unknown-weight": HEAD + NODES + "root %d\nweight @cc 0.5 0.5\n",
    "weight-shape": HEAD + NODES + "root %d\nweight @c 0.5 0.25 0.25\n",
    "ragged-weight": HEAD + NODES + "root %d\nweight @c 0.5 ; 0.25 0.25\n",
    "cycle": HEAD + "%a = product %c\n%b = sum 1 %a @b\n%c = sum 1 %b @c\nroot %b\n",
    "unknown-option": HEAD + NODES + "root %d\nsectors bi=rows\n",
    "bad-option": HEAD + NODES + "root %d\ngenerator hypernetwork embedding=0\n",
    "empty-name": HEAD + "% = input rain indicator 2\n",
    "odd-name": HEAD + "%a+b = input rain indicator 2\n",
    "odd-weight": HEAD + "%a = input rain bernoulli 2 @\n",
    "bad-policy": HEAD + NODES + "root %d\nsectors by=row\n",
}


def test_parse_errors(golden: Golden) -> None:
    messages: list[str] = []
    for name, text in WRONG.items():
        with pytest.raises(PCCompilerError) as caught:
            parse(text, "garden.pcir")
        messages.append(f"# {name}\n{caught.value}\n")
    golden("\n".join(messages))
