"""The check pass: every rule, all findings at once, with culprits and a way out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

import pccompiler as pc
from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, parse
from pccompiler.passes import Check, findings, verify
from pccompiler.testing.strategies import Broken, broken_circuits, circuits

Golden = Callable[[str], None]

HEAD = "pcir 1\nvariable wet binary\nvariable dry binary\nvariable heat real\n"
LEAVES = (
    "%wet = input wet bernoulli 1 @w\n%dry = input dry bernoulli 1 @d\n"
    "%heat = input heat gaussian 1 @h\n"
)
ALL = "%all = product %wet %dry %heat\n"
BROKEN = {
    "not-smooth": LEAVES + ALL + "%root = sum 1 %all %wet @r\nroot %root\n",
    "not-decomposable": LEAVES + ALL + "%p0 = product %all %wet\nroot %p0\n",
    "kronecker-not-decomposable": LEAVES + ALL + "%k = kronecker %all %dry %wet\nroot %k\n",
    "no-operands": LEAVES + ALL + "%e = product\n%root = sum 1 %all %e @r\nroot %root\n",
    "different-widths": LEAVES
    + ALL
    + "%two = sum 2 %all @t\n%mix = mixture %all %two @m\n%root = sum 1 %mix @r\nroot %root\n",
    "wide-root": LEAVES + ALL + "%root = sum 3 %all @r\nroot %root\n",
    "dead": LEAVES + ALL + "%dead = sum 1 %all @r\nroot %all\n",
    "missing-variable": LEAVES + "%p = product %wet %dry\nroot %p\n",
    "wrong-family": "%wet = input wet gaussian 1 @w\n"
    "%dry = input dry indicator 3\n%d = sum 1 %dry @d\n"
    "%heat = input heat bernoulli 1 @h\n%p = product %wet %d %heat\nroot %p\n",
    "weight-of-two-shapes": LEAVES + ALL + "%s = sum 2 %all @s\n%root = sum 1 %s @s\nroot %root\n",
    "weight-of-two-kinds": LEAVES + ALL + "%s = sum 1 %all @s\n%root = mixture %s @s\nroot %root\n",
    "weight-sums-to-less": LEAVES
    + ALL
    + "%root = sum 1 %all %all @r\nroot %root\nweight @r 0.5 0.4\n",
    "negative-weight": LEAVES
    + ALL
    + "%root = sum 1 %all %all @r\nroot %root\nweight @r 1.5 -0.5\n",
    "not-a-number": LEAVES + ALL + "%root = sum 1 %all %all @r\nroot %root\nweight @r nan 1\n",
    "probability-above-one": LEAVES + ALL + "root %all\nweight @w 1.25\n",
    "no-deviation": LEAVES + ALL + "root %all\nweight @h 0 0\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_findings(name: str, golden: Golden) -> None:
    found = findings(parse(HEAD + BROKEN[name], "garden.pcir"))
    assert found
    golden("\n".join(str(finding) for finding in found))


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


@given(circuits(reals=True))
def test_good_circuits_pass(circuit: Circuit) -> None:
    assert findings(circuit) == ()
    assert Check()(circuit) is circuit


@given(broken_circuits())
def test_the_planted_fault_is_found(broken: Broken) -> None:
    found = [f for f in findings(broken.circuit) if f.code == broken.code]
    assert found
    assert broken.circuit.label(broken.culprit) in found[-1].message or any(
        broken.circuit.label(broken.culprit) in f.message for f in found
    )


def test_no_ill_formed_circuit_reaches_a_backend() -> None:
    for text in BROKEN.values():
        with pytest.raises(CircuitError):
            pc.compile(parse(HEAD + text))
