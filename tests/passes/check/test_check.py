"""The check: every rule, and all findings at once, with culprits and a way out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

import pccompiler as pc
from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, WeightTable, parse
from pccompiler.passes import Check, findings, verify
from pccompiler.testing.strategies import Broken, broken_circuits, circuits

Golden = Callable[[str], None]

HEAD = "pcir 1\nvariable wet binary\nvariable dry binary\nvariable heat real\n"
LEAVES = (
    "%wet = input wet bernoulli 1 @w\n%dry = input dry bernoulli 1 @d\n"
    "%heat = input heat gaussian 1 @h\n"
)
ALL = "%all = product %wet %dry %heat\n"
MIXED = LEAVES + ALL + "%root = sum 1 %all %all @r\nroot %root\n"
BROKEN = {
    "not-smooth": LEAVES + ALL + "%root = sum 1 %all %wet @r\nroot %root\n",
    "mixture-of-three-scopes": LEAVES
    + ALL
    + "%p = product %wet %dry\n%root = mixture %all %p %heat @r\nroot %root\n",
    "not-decomposable": LEAVES + ALL + "%p0 = product %all %wet\nroot %p0\n",
    "squared": LEAVES + ALL + "%p0 = product %all %all\nroot %p0\n",
    "kronecker-not-decomposable": LEAVES + ALL + "%k = kronecker %all %dry %wet\nroot %k\n",
    "no-operands": LEAVES + ALL + "%e = product\n%root = sum 1 %all %e @r\nroot %root\n",
    "sums-without-operands": LEAVES
    + ALL
    + "%s = sum 1 @s\n%m = mixture @m\n%k = kronecker\n"
    + "%root = sum 1 %all %s %m %k @r\nroot %root\n",
    "different-widths": LEAVES
    + ALL
    + "%two = sum 2 %all @t\n%mix = mixture %all %two @m\n%root = sum 1 %mix @r\nroot %root\n",
    "wide-root": LEAVES + ALL + "%root = sum 3 %all @r\nroot %root\n",
    "dead": LEAVES + ALL + "%dead = sum 1 %all @r\nroot %all\n",
    "missing-variable": LEAVES + "%p = product %wet %dry\nroot %p\n",
    "wrong-family": "%wet = input wet gaussian 1 @w\n"
    "%dry = input dry indicator 3\n%d = sum 1 %dry @d\n"
    "%heat = input heat bernoulli 1 @h\n%p = product %wet %d %heat\nroot %p\n",
    "categorical-over-real": "%wet = input wet categorical 1 @w\n%dry = input dry bernoulli 1 @d\n"
    "%heat = input heat categorical 1 @h\n%p = product %wet %dry %heat\nroot %p\n",
    "weight-of-two-shapes": LEAVES + ALL + "%s = sum 2 %all @s\n%root = sum 1 %s @s\nroot %root\n",
    "weight-of-two-kinds": LEAVES + ALL + "%s = sum 1 %all @s\n%root = mixture %s @s\nroot %root\n",
    "weight-of-leaf-and-sum": "%wet = input wet categorical 1 @w\n%dry = input dry bernoulli 1 @d\n"
    "%heat = input heat gaussian 1 @h\n" + ALL + "%root = sum 1 %all %all @w\nroot %root\n",
    "weight-sums-to-less": MIXED + "weight @r 0.5 0.4\n",
    "leaf-sums-to-more": "%wet = input wet categorical 2 @w\n%wets = sum 1 %wet @s\n"
    "%dry = input dry bernoulli 1 @d\n%heat = input heat gaussian 1 @h\n"
    "%all = product %wets %dry %heat\nroot %all\nweight @w 0.5 0.5 ; 0.75 0.75\n",
    "negative-weight": MIXED + "weight @r 1.5 -0.5\n",
    "not-a-number": MIXED + "weight @r nan 1\n",
    "infinite": MIXED + "weight @r inf -inf\n",
    "probability-above-one": LEAVES + ALL + "root %all\nweight @w 1.25\n",
    "no-deviation": LEAVES + ALL + "root %all\nweight @h 0 0\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_findings(name: str, golden: Golden) -> None:
    found = findings(parse(HEAD + BROKEN[name], "garden.pcir"))
    assert found
    golden("\n".join(str(finding) for finding in found))


def test_the_message_of_the_style_guide(golden: Golden) -> None:
    text = (
        "pcir 1\nvariable wet binary\n%rain = input wet bernoulli 1 @r\n"
        "%hose = input wet bernoulli 1 @h\n%p0 = product %rain %hose\nroot %p0\n"
    )
    with pytest.raises(CircuitError) as caught:
        verify(parse(text, "examples/garden.pcir"))
    golden(str(caught.value))


def test_values_of_another_shape(golden: Golden) -> None:
    circuit = parse(HEAD + MIXED, "garden.pcir")
    weight = int(circuit.weight[circuit.root])
    table = circuit.weights
    values = {weight: np.full((1, 3), 1 / 3)}
    given_badly = WeightTable(table.rows, table.columns, table.names, values)
    golden("\n".join(map(str, findings(circuit.replace(weights=given_badly)))))


def test_rounded_weights_pass() -> None:
    tenths = np.full(10, 0.1, np.float32)
    tenths[0] += np.float32(3e-7)
    names = " ".join("%all" for _ in tenths)
    text = LEAVES + ALL + f"%root = sum 1 {names} @r\nroot %root\n"
    values = " ".join(repr(float(tenth)) for tenth in tenths)
    assert findings(parse(HEAD + text + f"weight @r {values}\n")) == ()
    assert findings(parse(HEAD + text + f"weight @r {values.replace('0.1', '0.2', 1)}\n"))


def test_all_findings_at_once() -> None:
    text = HEAD + LEAVES + "%p = product %wet %wet\n%root = sum 2 %p %dry @r\nroot %root\n"
    with pytest.raises(CircuitError) as caught:
        verify(parse(text))
    codes = {finding.code for finding in caught.value.diagnostics}
    assert codes == {"PC101", "PC102", "PC104", "PC105", "PC109"}


def test_many_findings_are_counted() -> None:
    lines = "".join(f"%q{i} = product %wet %wet\n" for i in range(30))
    roots = "%r = sum 1 " + " ".join(f"%q{i}" for i in range(30)) + " @r\nroot %r\n"
    found = findings(parse(HEAD + LEAVES + lines + roots))
    overlaps = [finding for finding in found if finding.code == "PC102"]
    assert len(overlaps) == 20
    assert overlaps[-1].notes[-1] == "10 more findings of this rule are not shown"
    assert not any("more findings" in note for f in overlaps[:-1] for note in f.notes)


def test_many_culprits_of_one_finding_are_counted(golden: Golden) -> None:
    lacking = "".join(f"%p{i} = product %wet %dry\n" for i in range(12))
    roots = "%r = sum 1 %all " + " ".join(f"%p{i}" for i in range(12)) + " @r\nroot %r\n"
    golden(
        "\n".join(map(str, findings(parse(HEAD + LEAVES + ALL + lacking + roots, "garden.pcir"))))
    )


@given(circuits(reals=True))
def test_good_circuits_pass(circuit: Circuit) -> None:
    assert findings(circuit) == ()
    assert Check()(circuit) is circuit


@given(broken_circuits())
def test_the_planted_fault_is_found(broken: Broken) -> None:
    found = [f for f in findings(broken.circuit) if f.code == broken.code]
    assert any(broken.circuit.label(broken.culprit) in f.message for f in found)


def test_no_ill_formed_circuit_reaches_a_backend() -> None:
    for text in BROKEN.values():
        with pytest.raises(CircuitError):
            pc.compile(parse(HEAD + text))


def test_the_largest_circuit_of_the_paper_passes() -> None:
    circuit = pc.rat_spn(1556, 50, 5)
    assert circuit.num_nodes == 234_557
    assert findings(circuit) == ()
    dead = findings(circuit.replace(root=0))
    assert dead[-1].notes == ("234,536 more findings of this rule are not shown",)
