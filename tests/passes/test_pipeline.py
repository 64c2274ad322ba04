"""Passes, pipelines as text, and the manager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Hypernetwork, WeightTable
from pccompiler.passes import (
    AttachDirect,
    AttachHypernetwork,
    Check,
    PartitionSectors,
    Pass,
    PassManager,
    Prune,
    findings,
)
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]

passes = st.one_of(
    st.builds(Check),
    st.builds(Prune),
    st.builds(
        PartitionSectors,
        by=st.sampled_from(["block", "rows", "size"]),
        size=st.integers(1, 50),
        mixtures=st.booleans(),
    ),
    st.builds(
        AttachHypernetwork,
        embedding=st.integers(1, 9),
        hidden=st.lists(st.integers(1, 30), max_size=3).map(tuple),
        heads=st.sampled_from(["per-shape", "slice"]),
        allocation=st.sampled_from(["used", "reference"]),
        floor=st.sampled_from([0.0, 1e-12, 1e-6]),
    ),
    st.builds(AttachDirect, floor=st.sampled_from([0.0, 1e-9])),
)


@given(st.lists(passes, max_size=4))
def test_pipeline_text_round_trip(chosen: list[Pass]) -> None:
    manager = PassManager(tuple(chosen))
    assert PassManager.parse(str(manager)) == manager


def test_the_designs_pipeline() -> None:
    manager = PassManager.parse("check, sectors{by=block}, hypernet{embedding=4, hidden=8x6}")
    circuit = manager(pc.rat_spn(6, 2, 3))
    assert circuit.generator == Hypernetwork(embedding=4, hidden=(8, 6))
    assert circuit.sectors is not None
    assert [record.name for record in manager.trace] == ["check", "sectors", "hypernet"]
    assert manager.timing_table().count("\n") == 4
    assert pc.compile(circuit).num_parameters > 0


def test_pipeline_errors(golden: Golden) -> None:
    messages: list[str] = []
    for text in (
        "chekc",
        "sectors{bi=rows}",
        "sectors{by=row}",
        "sectors{size=two}",
        "sectors{mixtures=yes}",
        "hypernet{hidden=20by20}",
        "hypernet{floor=small}",
        "check{fast=true}",
        "check sectors",
        "sectors{size=0}",
    ):
        with pytest.raises(OptionError) as caught:
            PassManager.parse(text)(pc.rat_spn(3, 1, 2))
        messages.append(str(caught.value))
    with pytest.raises(OptionError) as caught:
        PassManager.parse("check,hypernet")(pc.rat_spn(3, 1, 2))
    messages += [str(caught.value), *caught.value.__notes__]
    golden("\n".join(messages))


def test_dump_sees_every_result() -> None:
    seen: list[str] = []
    manager = PassManager.parse("check,sectors")
    manager.dump = lambda name, circuit: seen.append(f"{name} {circuit.sectors is not None}")
    manager(pc.rat_spn(3, 1, 2))
    assert seen == ["check False", "sectors True"]


@given(circuits(), st.integers(0, 3))
def test_prune_drops_what_is_dead_and_nothing_else(circuit: Circuit, extra: int) -> None:
    from pccompiler.ir import parse, to_text

    lines = to_text(circuit).splitlines()
    dead = [f"%dead{i} = input x0 categorical 2 @dead{i}" for i in range(extra)]
    grown = parse("\n".join([*lines, *dead]))
    manager = PassManager((Prune(),), verify_semantics=True)
    pruned = manager(grown)
    assert pruned == circuit
    assert findings(pruned) == ()
    assert Prune()(pruned) is pruned
    assert manager.trace[0].proven == (
        extra == 0
    )  # dead weights have no values: nothing to compare


@given(circuits())
def test_annotations_change_no_answer(circuit: Circuit) -> None:
    manager = PassManager.parse("check,sectors,direct{floor=0.0}", verify_semantics=True)
    manager(circuit)
    assert all(record.proven for record in manager.trace)


def test_a_pass_that_changes_the_meaning_is_caught() -> None:
    @dataclass(frozen=True)
    class Wrong(Pass):
        name: ClassVar[str] = "wrong"

        def run(self, circuit: Circuit) -> Circuit:
            values = {w: np.flip(v, axis=1) for w, v in circuit.weights.values.items()}
            table = circuit.weights
            return circuit.replace(
                weights=WeightTable(table.rows, table.columns, table.names, values)
            )

    circuit = pc.ir.parse(
        "pcir 1\nvariable x binary\n%a = input x indicator 2\n%r = sum 1 %a @r\nroot %r\n"
        "weight @r 0.25 0.75\n"
    )
    with pytest.raises(CircuitError, match="PC325") as caught:
        PassManager((Check(), Wrong()), verify_semantics=True)(circuit)
    assert caught.value.__notes__ == ["in pass 'wrong', after check"]


def test_a_pass_that_breaks_a_rule_is_caught() -> None:
    @dataclass(frozen=True)
    class Breaks(Pass):
        name: ClassVar[str] = "breaks"

        def run(self, circuit: Circuit) -> Circuit:
            return circuit.replace(root=0)

    with pytest.raises(CircuitError, match="PC104"):
        Breaks()(pc.rat_spn(3, 1, 2))
