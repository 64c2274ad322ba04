"""Which cases there are, and where they run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pccompiler.bench.cases import all_cases, select
from pccompiler.bench.groups.registry import GROUPS
from pccompiler.bench.kinds.registry import KINDS, QUERIES
from pccompiler.bench.subjects.registry import STRUCTURES


def test_every_kind_and_structure_has_cases() -> None:
    cases = all_cases()
    assert {type(case.kind) for case in cases} == {type(kind) for kind in KINDS.values()}
    assert {case.subject.structure for case in cases} == STRUCTURES.keys() - {"file"}


def test_names_say_kind_and_precision() -> None:
    for case in all_cases():
        word = case.kind.name.replace("_", "-")
        assert case.kind.engine == "onnx" or f"-{word}-" in f"-{case.name}"
        assert case.name.endswith("-tf32") == (case.precision == "tf32")


def test_cases_of_one_circuit_follow_one_another() -> None:
    """So that it is built once; packed cases and ONNX come later."""
    for group in GROUPS:
        subjects = [case.subject for case in group() if case.kind.engine == "torch"]
        changes = [a for a, b in pairwise(subjects) if a != b]
        assert len(changes) + 1 == len(set(subjects))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_large_circuits_are_left_to_gpus(device: str) -> None:
    chosen = {case.name for case in select([], device)}
    for name in (
        "em-hclt-784x256x512",
        "em-hmm-32x50257x4096",
        "query-mpe-1556-spn",
        "many-16-hyperspn",
    ):
        assert (name in chosen) == (device == "cuda")
    assert {"em-100-spn", "call-16-spn", "query-mpe-16-spn"} <= chosen
    assert select(["em-hclt-784x256x512"], device)


def test_queries_are_asked_of_many_rows_and_of_one() -> None:
    names = {case.name: case.batch for case in all_cases()}
    for query in QUERIES:
        word = query.replace("_", "-")
        assert names[f"query-{word}-16-spn"] == 500
        assert names[f"query-latency-{word}-16-spn"] == 1
