"""`pccompiler.explain`: text, JSON, notebooks, and devices that are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, to_text
from pccompiler.structures import naive_bayes_mixture
from pccompiler.testing import with_values
from pccompiler.testing.random_weights import random_weights
from pccompiler.testing.scalars import to_scalars
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.engines.select import engines

Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]

CIRCUITS = {"hmm": lambda: pc.hmm(4, 2), "rat": lambda: pc.rat_spn(4, 2, 3, seed=0)}
QUESTIONS = [wanted.value for wanted in Wanted]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("needs_a_compiler")
@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", CIRCUITS)
def test_the_text(name: str, golden: Golden) -> None:
    device = {"hmm": "cpu", "rat": "cuda"}[name]
    golden(str(pc.explain(CIRCUITS[name](), device=device, batch=10)))


SCHEMA: dict[str, Any] = {
    "device": str,
    "present": bool,
    "precision": str,
    "batch": int,
    "variables": int,
    "parameters": int,
    "packed": bool,
    "layers": [
        {
            "number": int,
            "kind": str,
            "nodes": int,
            "units": int,
            "form": str,
            "reads": str,
            "flops": int,
            "bytes": int,
        }
    ],
    "choices": [
        {
            "question": str,
            "engine": str,
            "started": bool,
            "launches": (int, type(None)),
            "others": [{"engine": str, "why": str}],
            "likelihoods": str,
        }
    ],
    "least": [
        {
            "direction": str,
            "work": {"flops": int, "matrix": int, "special": int, "bytes": int},
            "floor_ms": (float, type(None)),
            "limit": str,
        }
    ],
    "floor_source": str,
    "evaluation_bytes": (int, type(None)),
    "training_bytes": (int, type(None)),
    "schedule": str,
    "optimization": type(None),
}


def fits(value: Any, schema: Any) -> None:
    """Hold JSON to a schema: types, the same keys, lists of one kind."""
    if isinstance(schema, dict):
        assert value.keys() == schema.keys()
        for key, below in schema.items():
            fits(value[key], below)
    elif isinstance(schema, list):
        assert isinstance(value, list)
        for entry in value:
            fits(entry, schema[0])
    else:
        assert isinstance(value, schema)
        assert isinstance(value, bool) == (schema is bool)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_the_json(name: str, device: str) -> None:
    found = json.loads(json.dumps(pc.explain(CIRCUITS[name](), device=device).to_dict()))
    fits(found, SCHEMA)
    assert [choice["question"] for choice in found["choices"]] == QUESTIONS
    everything = {kind.name for kind in engines()}
    for choice in found["choices"]:
        others = {other["engine"] for other in choice["others"]}
        assert others | {choice["engine"]} == everything
        assert choice["engine"] not in others
        assert choice["started"] == found["present"]


def test_a_notebook_shows_tables() -> None:
    circuit = naive_bayes_mixture(3, 2)
    page = pc.explain(circuit)._repr_html_()
    assert page.count("<table>") == page.count("</table>") == 5
    assert ">arena</td>" in page


def packed() -> Circuit:
    circuit = pc.rat_spn(6, 2, 3, seed=0)
    return to_scalars(with_values(circuit, random_weights(circuit, 0)))


@pytest.mark.usefixtures("needs_a_compiler")
def test_a_model_is_explained_as_it_stands() -> None:
    model = pc.compile(pc.rat_spn(6, 2, 3, seed=0))
    fast = pc.explain(model)
    assert fast.choices[0].engine == model.engines.choose(Wanted.VALUE).name
    model.without_kernels()
    slow = pc.explain(model)
    assert slow.choices[0].engine == "layered"
    reasons = {other.engine: other.why for other in slow.choices[0].others}
    assert reasons["trees-cpu"] == "fused kernels are turned off"
    assert pc.explain(model, dtype="float64").choices[0].engine == "general-cpu"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("changes", [{"device": "cuda"}, {"dtype": "float64"}], ids=str)
@pytest.mark.parametrize("budget", [None, "100 KiB"])
def test_a_model_has_the_same_plan_elsewhere(changes: dict[str, Any], budget: str | None) -> None:
    circuit = pc.rat_spn(8, 2, 3, seed=0)
    model = pc.compile(circuit, numerics="log", memory_budget=budget, device="cpu")
    here, there = pc.explain(model), pc.explain(model, **changes)
    assert [layer.form for layer in here.layers] == [layer.form for layer in there.layers]
    assert here.layers != pc.explain(circuit, **changes).layers
    assert there.schedule == ("" if model.schedule is None else str(model.schedule))
    if "dtype" in changes:
        moved = pc.explain(model.double())
        assert there.to_dict() == moved.to_dict()


@pytest.mark.usefixtures("needs_a_compiler")
def test_packed_plans_have_no_prediction_of_memory() -> None:
    found = pc.explain(packed())
    assert found.packed
    assert found.evaluation_bytes is found.training_bytes is None
    assert found.choices[0].engine == "general-cpu"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_budget_is_explained(device: str) -> None:
    found = pc.explain(pc.rat_spn(64, 10, 5), device=device, memory_budget="400 KiB")
    assert found.choices[0].engine == "budgeted"
    assert "blocks in post-order" in str(found)


@pytest.mark.usefixtures("no_gpu")
def test_dense_kernels_match_without_a_gpu() -> None:
    found = pc.explain(pc.hmm(6, 8), device="cuda:1")
    assert not found.present
    assert found.choices[0].engine == "dense"
    assert (found.choices[0].launches or 0) < (found.choices[1].launches or 0)
    assert "matches the plan; not started" in str(found)


def test_floors_come_from_measured_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    from pccompiler.bench.ceilings import Rates
    from pccompiler.explanation import explain

    rates = Rates(source="a test", flops=1e3, matrix=1e3, special=1e9, bytes=1e9)
    monkeypatch.setattr(explain, "measured", lambda device: rates)
    found = pc.explain(pc.hmm(4, 2), device="cpu", measure=True)
    assert found.floor_source == "a test"
    for least in found.least:
        assert least.limit == "flops"
        assert least.floor_ms == pytest.approx(least.work.flops)
    assert pc.explain(pc.hmm(4, 2), device="cpu").least[0].floor_ms is None
    assert pc.explain(pc.hmm(4, 2), dtype="float64", measure=True).least[0].floor_ms is None


@pytest.mark.parametrize("case", ["thing", "budget", "device"])
def test_refusals(case: str, golden: Golden) -> None:
    circuit = pc.hmm(3, 2)
    asked: Callable[[], object] = {
        "thing": lambda: pc.explain("a circuit"),  # type: ignore[arg-type]
        "budget": lambda: pc.explain(pc.compile(circuit), memory_budget="1 MiB"),
        "device": lambda: pc.explain(circuit, device="gpu"),
    }[case]
    with pytest.raises(OptionError) as error:
        asked()
    golden(str(error.value))


@pytest.mark.usefixtures("no_gpu")
def test_the_command(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.pcir"
    path.write_text(to_text(pc.rat_spn(4, 2, 3, seed=0)))
    code, out, _ = run("explain", path, "--device", "cuda", "--batch", "10")
    assert code == 0
    assert out == str(pc.explain(pc.rat_spn(4, 2, 3, seed=0), device="cuda", batch=10))
    code, out, _ = run("explain", path, "--json", "--precision", "float64")
    assert code == 0
    fits(json.loads(out), SCHEMA)
    assert json.loads(out)["precision"] == "float64"
    code, _, err = run("explain", path, "--batch", "0")
    assert code == 1
    assert "batch" in err


def test_no_question_is_left_out_of_the_text() -> None:
    build = Builder()
    x = build.real("x")
    text = str(pc.explain(build.build(build.gaussian(x))))
    for question in QUESTIONS:
        assert f"\n{question} " in text
