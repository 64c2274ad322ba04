"""Each pass: IR before and after, a second run that changes nothing, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Direct, parse, to_text
from pccompiler.passes import (
    AttachDirect,
    AttachHypernetwork,
    Check,
    PartitionSectors,
    Pass,
    Prune,
    findings,
)
from pccompiler.passes.registry import PASSES
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]

SPARSE = parse(
    "pcir 1\nvariable x binary\nvariable y binary\n"
    "%x = input x indicator 2\n%unused = input y bernoulli 3 @u\n%y = input y bernoulli 2 @y\n"
    "%s = sum 2 %x @s\n%dead = sum 2 %x @dead\n%p = product %s %y\n%root = sum 1 %p @r\n"
    "root %root\nweight @dead 0.5 0.5 ; 0.25 0.75\nweight @r 0.5 0.5\n"
)
STEPS: dict[str, tuple[Pass, ...]] = {
    "prune": (Prune(),),
    "prune-keeps-sectors-and-generator": (Prune(),),
    "sectors": (Prune(), PartitionSectors(by="rows", size=2)),
    "hypernet": (Prune(), PartitionSectors(), AttachHypernetwork(embedding=4, hidden=(8,))),
    "direct": (Prune(), AttachDirect(floor=1e-9)),
}


@pytest.mark.parametrize("name", STEPS)
def test_before_and_after(name: str, golden: Golden) -> None:
    *first, last = STEPS[name]
    before = SPARSE
    if "keeps" in name:
        before = AttachDirect().run(PartitionSectors().run(SPARSE))
    for step in first:
        before = step(before)
    after = last(before)
    golden(f"# before\n{to_text(before)}# after {last}\n{to_text(after)}")
    assert last(after) == after


@given(circuits(), st.sampled_from([kind for name, kind in PASSES.items() if name != "square"]))
def test_a_second_run_changes_nothing(circuit: Circuit, kind: type[Pass]) -> None:
    once = kind()(PartitionSectors()(circuit))
    assert kind()(once) == once
    assert findings(once) == ()


@given(circuits(zeros=False), st.integers(0, 3))
def test_prune_drops_what_is_dead_and_nothing_else(circuit: Circuit, extra: int) -> None:
    dead = [f"%dead{i} = input x0 categorical 2 @dead{i}" for i in range(extra)]
    pruned = Prune()(parse("\n".join([*to_text(circuit).splitlines(), *dead])))
    assert pruned == circuit
    assert Prune()(pruned) is pruned


def test_passes_keep_locations() -> None:
    pruned = PartitionSectors()(Prune()(SPARSE))
    assert [pruned.where(node) for node in range(pruned.num_nodes)] == [
        f"<text>:{line}" for line in (4, 6, 7, 9, 10)
    ]


def test_an_ill_formed_circuit_is_refused_before_the_pass_runs() -> None:
    with pytest.raises(CircuitError, match="PC105"):
        PartitionSectors()(SPARSE)


@pytest.mark.parametrize("step", [AttachHypernetwork(), AttachDirect(allocation="reference")])
def test_sectors_are_required(step: Pass, golden: Golden) -> None:
    with pytest.raises(OptionError) as caught:
        step(pc.rat_spn(3, 1, 2))
    golden(str(caught.value))
    step(PartitionSectors()(pc.rat_spn(3, 1, 2)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: PartitionSectors(size=0),
        lambda: AttachHypernetwork(hidden=(20, 0)),
        lambda: AttachDirect(floor=0.5),
    ],
)
def test_options_are_checked_when_the_pass_is_made(make: Callable[[], Pass]) -> None:
    with pytest.raises(OptionError, match="PC302"):
        make()


def test_a_pass_that_breaks_a_rule_is_caught() -> None:
    @dataclass(frozen=True)
    class Breaks(Pass):
        name: ClassVar[str] = "breaks"

        def run(self, circuit: Circuit) -> Circuit:
            return circuit.replace(root=0)

    with pytest.raises(CircuitError, match="PC104"):
        Breaks()(pc.rat_spn(3, 1, 2))


def test_a_pass_that_breaks_its_promise_is_caught(golden: Golden) -> None:
    @dataclass(frozen=True)
    class Forgets(Pass):
        name: ClassVar[str] = "forgets"
        requires: ClassVar[tuple[str, ...]] = ("well-formed", "generator")
        ensures: ClassVar[tuple[str, ...]] = ("well-formed", "sectors")

        def run(self, circuit: Circuit) -> Circuit:
            return circuit

    with pytest.raises(CircuitError) as caught:
        Forgets()(pc.rat_spn(3, 1, 2).replace(generator=Direct()))
    with pytest.raises(OptionError) as refused:
        Forgets()(pc.rat_spn(3, 1, 2))
    golden(f"{caught.value}\n{refused.value}")


def test_unknown_properties_are_refused() -> None:
    with pytest.raises(TypeError, match="Misspelt names unknown properties"):
        type("Misspelt", (Check,), {"requires": ("sector",)})
