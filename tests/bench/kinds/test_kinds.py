"""Every kind of measurement, on a small circuit of every structure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pccompiler.api import compile as compiled
from pccompiler.bench.case import Case
from pccompiler.bench.ceilings import Rates
from pccompiler.bench.kinds.base import Setting
from pccompiler.bench.kinds.checks import Pair
from pccompiler.bench.kinds.em import Em
from pccompiler.bench.kinds.many import Many
from pccompiler.bench.kinds.registry import KINDS
from pccompiler.bench.measure import Bench
from pccompiler.bench.report import table
from pccompiler.bench.subjects.registry import STRUCTURES, material
from pccompiler.bench.subjects.subject import Subject
from pccompiler.bench.timing import called

RATES = Rates(source="made up", flops=1e9, matrix=2e9, special=1e6, bytes=1e8, launch=1e-6)
SUBJECTS = (
    Subject(structure="rat-spn", n=8, units=4, replicas=3),
    Subject(structure="hclt", n=9, units=4, values=8),
    Subject(structure="quad-tree", n=9, units=4, values=8),
    Subject(structure="hmm", n=5, units=16, values=3),
    Subject(structure="low-rank-hmm", n=5, units=16, values=3, inner=4),
    Subject(structure="monarch-hmm", n=5, units=16, values=3, inner=4),
    Subject(structure="learned", n=6, passes="share,merge,pack"),
    Subject(structure="layered", n=8, edges=500),
    Subject(structure="bayesian-network", n=9, values=3),
)
HMM = SUBJECTS[3]


def measured(name: str, subject: Subject, device: str = "cpu") -> dict[str, Any]:  # JSON values
    kind = Many(models=3) if name == "many" else KINDS[name]
    case = Case(name="small-case", subject=subject, kind=kind, batch=7)
    return Bench(device, RATES, repeats=1).run(case)


def test_every_structure_is_here() -> None:
    assert {subject.structure for subject in SUBJECTS} == STRUCTURES.keys() - {"file"}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.structure)
def test_every_kind_is_measured(name: str, subject: Subject) -> None:
    record = measured(name, subject)
    assert record["ms"] > 0.0
    assert record["direction"] == KINDS[name].name
    assert (record["floor_ms"] is None) == (name == "sample")
    errors = [value for field, value in record.items() if field.endswith("_error")]
    assert len(errors) >= 2
    assert max(errors) < 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in KINDS if name != "onnx"])
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.structure)
def test_every_kind_is_measured_on_a_gpu(name: str, subject: Subject) -> None:
    record = measured(name, subject, "cuda")
    assert record["ms"] > 0.0
    assert max(value for field, value in record.items() if field.endswith("_error")) < 1e-4


@pytest.mark.parametrize("name", KINDS)
def test_errors_are_found(name: str) -> None:
    """With other parameters in float64, each of a kind's errors is large."""
    made = material(HMM)
    single, double = compiled(made.circuit), compiled(made.circuit, dtype="float64", seed=1)
    assert made.data is not None
    rows = single.prepare(made.data[:50])
    rows[:, 0] = torch.nan
    assert min(KINDS[name].errors(Pair(single, double, rows)).values()) > 1e-3


def setting(subject: Subject, batch: int) -> Setting:
    made = material(subject)
    model = compiled(made.circuit)
    assert made.data is not None
    return Setting(model, model.prepare(made.data), batch)


@pytest.mark.parametrize("batch", [100, 2000, 2500])
def test_steps_of_em_learn(batch: int) -> None:
    given = setting(HMM, batch)
    run = Em().run(given)
    before = float(given.model.log_likelihood(given.x).detach().mean())
    for _ in range(20):
        run()
    assert float(given.model.log_likelihood(given.x).detach().mean()) > before + 0.05


def test_many_models_are_beside_one() -> None:
    record = measured("many", SUBJECTS[0])
    assert record["models"] == 3
    assert record["over_one"] == pytest.approx(record["ms"] / record["one_ms"], abs=0.1)
    step = measured("step", SUBJECTS[0])
    assert record["work"]["flops"] == 3 * step["work"]["flops"]


def test_large_batches_repeat_rows() -> None:
    given = setting(HMM, 4001)
    assert given.rows[[0, 1999, 2000, 4000]].tolist() == [0, 1999, 0, 0]
    assert given.holey[:, ::2].isnan().all()
    assert not given.x.isnan().any()


def test_calls_record_no_gradients() -> None:
    assert called(torch.is_grad_enabled)() is False


def test_a_table_of_a_case_without_a_floor() -> None:
    record = measured("sample", SUBJECTS[0])
    columns = {str(column.header): list(column.cells) for column in table([record]).columns}
    assert columns["floor"] == ["-"]
    assert columns["set by"] == [""]


def test_packing_keeps_the_data() -> None:
    plain = replace(SUBJECTS[6], passes="")
    a, b = material(plain), material(SUBJECTS[6])
    assert b.circuit.num_nodes < a.circuit.num_nodes
    assert a.data is not None
    values = [compiled(m.circuit, dtype="float64").log_likelihood(a.data) for m in (a, b)]
    torch.testing.assert_close(*values)
