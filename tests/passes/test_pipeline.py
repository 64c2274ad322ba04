"""Pipelines as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit
from pccompiler.passes import (
    AttachDirect,
    AttachHypernetwork,
    Check,
    PartitionSectors,
    Pass,
    PassManager,
    Prune,
)
from pccompiler.passes.registry import PASSES

Golden = Callable[[str], None]

BAD = (
    "chekc",
    "smoth",
    "check sectors",
    "check,,sectors",
    "sectors{by=rows",
    "sectors}",
    "sectors{bi=rows}",
    "sectors{siez=2}",
    "check{fast=true}",
    "sectors{by}",
    "sectors{by=}",
    "sectors{by=rows,by=block}",
    "sectors{by=row}",
    "sectors{size=two}",
    "sectors{size=1e3}",
    "sectors{mixtures=yes}",
    "hypernet{hidden=20by20}",
    "hypernet{hidden=20xnone}",
    "hypernet{floor=small}",
    "sectors{size=0}",
    "hypernet{hidden=20x0}",
    "direct{floor=0.5}",
    "direct{floor=nan}",
)

floors = st.one_of(st.just(0.0), st.floats(1e-300, 1e-3))
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
        floor=floors,
    ),
    st.builds(AttachDirect, floor=floors),
)


@given(st.lists(passes, max_size=4))
def test_text_round_trip(chosen: list[Pass]) -> None:
    manager = PassManager(chosen)
    again = PassManager.parse(str(manager))
    assert again == manager
    assert hash(again) == hash(manager)
    assert str(again) == str(manager)


def test_canonical_text() -> None:
    text = " check ,prune{}, sectors { size = 1, by=rows },hypernet{hidden=none,floor=1E-9}, direct"
    manager = PassManager.parse(text)
    assert str(manager) == "check,prune,sectors{by=rows},hypernet{hidden=none,floor=1e-09},direct"
    assert repr(manager) == f"PassManager.parse({str(manager)!r})"
    assert PassManager.parse(" ") == PassManager(())
    assert PassManager.parse("check") != "check"


def test_errors(golden: Golden) -> None:
    messages: list[str] = []
    for text in BAD:
        with pytest.raises(OptionError) as caught:
            PassManager.parse(text)
        messages.append(f"# {text}\n{caught.value}")
    golden("\n".join(messages))


@pytest.mark.parametrize("number", ["9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}", "1_000"])
def test_odd_numbers_are_refused(number: str) -> None:
    with pytest.raises(OptionError, match="PC323"):
        PassManager.parse(f"hypernet{{embedding={number}}}")


def test_options_of_every_type(install: Callable[..., None]) -> None:
    install("own_pass", PASSES.group, {"own": "own_pass:Own"}, f"from {__name__} import Own")
    for text in ("own", "own{word=hello,count=-3,ratio=2.5,exact=true,mode=slow,widths=1x2x3}"):
        (step,) = PassManager.parse(text).passes
        assert str(step) == text
    assert step == Own("hello", -3, 2.5, True, "slow", (1, 2, 3))


@dataclass(frozen=True)
class Own(Pass):
    name: ClassVar[str] = "own"
    word: str = "none"
    count: int = 0
    ratio: float = 0.5
    exact: bool = False
    mode: Literal["fast", "slow"] = "fast"
    widths: tuple[int, ...] = ()

    def run(self, circuit: Circuit) -> Circuit:
        return circuit
