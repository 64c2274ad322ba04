"""The manager: order, trace, dumps, notes on errors, and proofs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Hypernetwork, WeightTable, binary, parse
from pccompiler.ir.arrays import Float
from pccompiler.passes import Check, PartitionSectors, Pass, PassManager, Prune
from pccompiler.testing.random_weights import random_weights, with_values
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]

DEAD = "pcir 1\nvariable x binary\n%a = input x indicator 2\n%d = sum 1 %a @d\n%r = sum 1 %a @r\n"
COIN = parse(DEAD.replace("%d = sum 1 %a @d\n", "") + "root %r\nweight @r 0.25 0.75\n")


@dataclass(frozen=True)
class Reweigh(Pass):
    """A wrong pass that changes given values but is otherwise valid."""

    name: ClassVar[str] = "reweigh"
    values: Callable[[Float], Float]

    def run(self, circuit: Circuit) -> Circuit:
        table = circuit.weights
        values = {weight: self.values(value) for weight, value in table.values.items()}
        return circuit.replace(weights=WeightTable(table.rows, table.columns, table.names, values))


@dataclass(frozen=True)
class Spoil(Pass):
    """A wrong pass whose result has a root of two units."""

    name: ClassVar[str] = "spoil"

    def run(self, circuit: Circuit) -> Circuit:
        return circuit.replace(root=0)


def test_the_designs_pipeline() -> None:
    manager = PassManager.parse("check, sectors{by=block}, hypernet{embedding=4, hidden=8x6}")
    circuit = manager(pc.rat_spn(6, 2, 3))
    assert circuit.generator == Hypernetwork(embedding=4, hidden=(8, 6))
    assert circuit.sectors is not None
    assert [record.name for record in manager.trace] == ["check", "sectors", "hypernet"]
    assert pc.compile(circuit).num_parameters > 0


def test_timing_table(golden: Golden) -> None:
    manager = PassManager.parse("prune,sectors", verify_semantics=True)
    manager(parse(DEAD + "root %r\n"))
    assert all(record.seconds is not None and record.seconds > 0 for record in manager.trace)
    golden(re.sub(r" +\d+\.\d\d", lambda m: "(time)".rjust(len(m[0])), manager.timing_table()))


def test_time_can_stay_unmeasured(golden: Golden) -> None:
    manager = PassManager.parse("check,sectors", time=False)
    manager(pc.rat_spn(3, 1, 2))
    golden(manager.timing_table())


def test_dump_sees_every_result() -> None:
    seen: list[str] = []
    manager = PassManager.parse(
        "check,sectors", dump=lambda name, circuit: seen.append(f"{name} {circuit.sectors is None}")
    )
    manager(pc.rat_spn(3, 1, 2))
    assert seen == ["check True", "sectors False"]


def test_managers_nest() -> None:
    inner = PassManager((PartitionSectors(),))
    outer = PassManager([Check(), inner, Prune()])
    assert outer.passes == (Check(), PartitionSectors(), Prune())


def test_a_trace_is_of_the_last_run() -> None:
    manager = PassManager.parse("prune")
    manager(COIN)
    first = manager.trace
    manager(parse(DEAD + "root %r\n"))
    assert (first[0].nodes_before, manager.trace[0].nodes_before) == (2, 3)


def test_errors_say_which_pass(golden: Golden) -> None:
    messages: list[str] = []
    for manager in (PassManager.parse("check,hypernet"), PassManager((Check(), Prune(), Spoil()))):
        with pytest.raises((CircuitError, OptionError)) as caught:
            manager(COIN)
        messages += [str(caught.value), *caught.value.__notes__]
    with pytest.raises(CircuitError) as caught:
        PassManager.parse("sectors{by=rows}")(parse(DEAD + "root %r\n", "garden.pcir"))
    golden("\n".join([*messages, str(caught.value), *caught.value.__notes__]))


def test_without_verification_passes_are_trusted() -> None:
    dead = parse(DEAD + "root %r\n")
    assert PassManager((PartitionSectors(), Spoil()), verify=False)(dead).root == 0
    with pytest.raises(OptionError, match="PC324"):
        PassManager.parse("hypernet", verify=False)(dead)


@given(circuits())
def test_annotations_change_no_answer(circuit: Circuit) -> None:
    manager = PassManager.parse("check,prune,sectors,direct", verify_semantics=True)
    manager(circuit)
    assert all(record.proven for record in manager.trace)


def test_dead_weights_need_no_values() -> None:
    manager = PassManager.parse("prune", verify_semantics=True)
    manager(parse(DEAD + "root %r\nweight @r 0.25 0.75\n"))
    assert manager.trace[0].proven


def test_wrong_passes_are_caught(golden: Golden) -> None:
    flip = Reweigh(lambda values: np.flip(values, axis=1))
    shift = Reweigh(lambda values: values + 1e-8 * np.array([[-1.0, 1.0]]))
    messages: list[str] = []
    for wrong in (flip, shift):
        with pytest.raises(CircuitError, match="PC325") as caught:
            PassManager((Check(), wrong), verify_semantics=True)(COIN)
        assert caught.value.__notes__[0].endswith("after check")
        messages.append(str(caught.value))
    golden("\n".join(messages))


def test_a_change_that_keeps_every_marginal_is_caught(golden: Golden) -> None:
    """Two equal coins become opposite ones, which keeps the marginals but not the worlds."""
    text = (
        "pcir 1\nvariable x binary\nvariable y binary\n"
        "%x = input x indicator 2\n%y = input y indicator 2\n"
        "%y2 = sum 2 %y @w\n%p = product %x %y2\n%r = sum 1 %p @r\nroot %r\n"
        "weight @w 1 0 ; 0 1\nweight @r 0.5 0.5\n"
    )
    swap = Reweigh(lambda values: values[::-1])
    with pytest.raises(CircuitError) as caught:
        PassManager((swap,), verify_semantics=True)(parse(text))
    golden(str(caught.value))


def test_other_variables_are_caught(golden: Golden) -> None:
    @dataclass(frozen=True)
    class Rename(Pass):
        name: ClassVar[str] = "rename"

        def run(self, circuit: Circuit) -> Circuit:
            return circuit.replace(variables=(binary("z"),))

    with pytest.raises(CircuitError) as caught:
        PassManager((Rename(),), verify_semantics=True)(COIN)
    golden(str(caught.value))


@pytest.mark.parametrize(
    ("circuit", "reason"),
    [
        (parse(DEAD + "root %r\n"), "weight @r has no given values"),
        (
            parse("pcir 1\nvariable x real\n%a = input x gaussian 1 @w\nroot %a\nweight @w 0 1\n"),
            "variable 'x' is real",
        ),
        (pc.rat_spn(64, 1, 2), "64 variables are more than 12"),
        (
            parse("pcir 1\nvariable x categorical 5000\n%a = input x categorical 1 @w\nroot %a\n"),
            "5,000 worlds are more than 4,096",
        ),
    ],
)
def test_what_cannot_be_proven_is_said(circuit: Circuit, reason: str) -> None:
    manager = PassManager.parse("prune", verify_semantics=True)
    manager(circuit)
    assert manager.trace[0].proof == f"skipped: {reason}"


def test_the_largest_proof() -> None:
    circuit = pc.rat_spn(12, 2, 3)
    manager = PassManager.parse("sectors", verify_semantics=True)
    manager(with_values(circuit, random_weights(circuit)))
    assert manager.trace[0].proven
