"""``pccompiler bench``, called as a program, and its parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import pccompiler as pc
from pccompiler.bench import peering
from pccompiler.bench.case import Case
from pccompiler.bench.cases import all_cases, select
from pccompiler.bench.ceilings import Rates, datasheet, floor_ms, measured
from pccompiler.bench.kinds.registry import KINDS
from pccompiler.bench.measure import Bench
from pccompiler.bench.running import run_cases
from pccompiler.bench.subjects.subject import Subject
from pccompiler.bench.units import Work
from pccompiler.errors import PCCompilerError
from pccompiler.ir import to_text

FAKE = Path(__file__).parent / "peers" / "fake_peer.py"
Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]
RATES = Rates(source="made up", flops=1e9, matrix=2e9, special=1e6, bytes=1e8, launch=1e-6)


@pytest.fixture
def run(run: Run) -> Run:
    return partial(run, "bench")


def fake(what: str) -> str:
    return f"mine={sys.executable} {FAKE} {what}"


def lines(path: Path) -> list[dict[str, Any]]:  # JSON values
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_case_with_a_peer(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "results" / "bench.jsonl"
    options = ("--device", "cpu", "--repeats", 2, "--batch", 7, "--out", out)
    code, text, errors = run("step-16-spn", *map(str, options), "--peer", fake("answer"))
    assert (code, errors) == (0, "")
    assert "step-16-spn" in text
    assert "mine" in text
    header, record = lines(out)
    assert header["command"].startswith("pccompiler bench step-16-spn")
    assert header["ceilings"]["flops"] > 1e9
    assert record["batch"] == 7
    assert record["over_floor"] > 1.0
    assert record["log_likelihood_error"] < 1e-5
    assert record["gradient_error"] < 1e-4
    assert record["peers"]["mine"]["ms"] == 16_000
    assert record["peers"]["mine"]["version"] == "fake 1"


def test_a_crashing_peer_loses_no_figure_of_ours(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "bench.jsonl"
    code, text, errors = run(
        "forward-16-spn", "--quick", "--device", "cpu", "--out", out, "--peer", fake("crash")
    )
    assert code == 1
    assert "error[PC783]: peer mine failed on forward-16-spn with exit code 1" in errors
    assert "failed" in text
    _, record = lines(out)
    assert record["ms"] > 0.0
    assert record["peers"]["mine"]["error"].startswith("peer mine failed")


def test_a_failing_case_loses_no_other(run: Run, tmp_path: Path) -> None:
    out, absent = tmp_path / "bench.jsonl", tmp_path / "absent.psdd"
    options = ("--quick", "--device", "cpu", "--out", out)
    code, _, errors = run(absent, "forward-16-spn", *options)
    assert code == 1
    assert "absent.psdd" in errors
    assert ["error" in record for record in lines(out)[1:]] == [True, True, True, False]


def test_a_case_that_fails(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> None:
        raise RuntimeError("out of memory\nTried to allocate 1 TiB")

    monkeypatch.setattr(Bench, "run", out_of_memory)
    bench, contest = Bench("cpu", RATES), peering.Contest([], "cpu", 1)
    outcome = run_cases(select(["step-16-spn"], "cpu"), bench, contest)
    golden("\n".join(map(str, outcome.failures)))


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit])
def test_what_was_measured_is_kept(
    stopped: type[BaseException], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, out = Bench.run, tmp_path / "bench.jsonl"

    def once(self: Bench, case: Case) -> dict[str, Any]:  # JSON values
        if case.name != "step-16-spn":
            raise stopped
        return measure(self, case)

    monkeypatch.setattr(Bench, "run", once)
    options = ("--quick", "--device", "cpu", "--out", out)
    code, text, errors = run("step-16-spn", "forward-16-spn", "step-16-hyperspn", *options)
    assert [record.get("case") for record in lines(out)] == [None, "step-16-spn"]
    assert list(tmp_path.iterdir()) == [out]
    if stopped is KeyboardInterrupt:
        assert (code, errors) == (130, f"interrupted: 1 of 3 cases measured, in {out}\n")
        assert "step-16-spn" in text


def test_our_figure_is_kept_before_peers_begin(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bench.jsonl"

    def interrupt(*_: object) -> None:
        assert len(lines(out)) == 2
        raise KeyboardInterrupt

    monkeypatch.setattr(peering.Contest, "answers", interrupt)
    options = ("--quick", "--device", "cpu", "--out", out, "--peer", fake("answer"))
    code, _, errors = run("forward-16-spn", *options)
    assert (code, errors) == (130, f"interrupted: 1 of 1 cases measured, in {out}\n")
    assert lines(out)[1]["ms"] > 0.0


def test_a_circuit_of_the_users(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.pcir"
    file.write_text(to_text(pc.hmm(3, 2)))
    code, text, _ = run(file, "--device", "cpu", "--repeats", "1")
    assert code == 0
    assert "gradients:mine.pcir" in text


def test_list(run: Run) -> None:
    code, text, _ = run("--list", "--device", "cpu")
    assert code == 0
    assert "step-16-hyperspn" in text
    assert "1556" not in text


def test_names_are_unique_and_groups_stand_together() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)
    assert {case.batch for case in select(["latency"], "cpu")} == {1}
    first = select(["*-1556-spn"], "cpu", batch=9)[0]
    assert (first.name, first.batch) == ("step-1556-spn", 9)


@pytest.mark.parametrize(
    "subject",
    [
        Subject(structure="hclt", n=9, units=4, values=8),
        Subject(structure="quad-tree", n=9, units=4, values=8),
        Subject(structure="hmm", n=5, units=4, values=3),
        Subject(structure="learned", n=6),
    ],
    ids=lambda subject: str(subject.structure),
)
def test_every_structure_is_measured(subject: Subject) -> None:
    case = select(["step-16-spn"], "cpu", batch=50)[0]
    record = Bench("cpu", RATES, repeats=1).run(replace(case, subject=subject))
    assert record["ms"] > 0.0
    assert record["n"] == subject.n
    assert record["log_likelihood_error"] < 1e-4


def test_floor_is_the_slowest_unit() -> None:
    assert floor_ms(Work(flops=10**6, bytes=10**6), RATES) == (10.0, "bytes")
    assert floor_ms(Work(special=10**6, matrix=10), RATES) == (1000.0, "special")
    assert floor_ms(Work(), RATES)[1] == "launch"


def test_rates() -> None:
    here = measured(torch.device("cpu"))
    assert min(here.flops, here.matrix, here.special, here.bytes) > 1e6
    sheet = datasheet("NVIDIA H100 80GB HBM3")
    assert sheet is not None
    assert sheet.flops == 67e12
    assert datasheet("NVIDIA H100 PCIe") is None
    assert datasheet("Some GPU") is None


@pytest.mark.parametrize("what", ["crash", "silent", "slow"])
def test_errors_of_peers(what: str, golden: Golden) -> None:
    case = select(["step-16-spn"], "cpu")[0]
    timeout = 1.0 if what == "slow" else 60.0
    contest = peering.Contest([peering.parse(fake(what))], "cpu", 1, timeout=timeout)
    contest.answers(case, 1.0, {})
    contest.answers(case, 1.0, {})  # asked once
    (failure,) = contest.failures
    text = str(failure).replace(sys.executable, "PYTHON").replace(str(FAKE), "fake_peer.py")
    golden(text)


def test_a_peer_may_decline() -> None:
    case = select(["step-16-spn"], "cpu")[0]
    contest = peering.Contest([peering.parse(fake("skip"))], "cpu", 1)
    assert contest.answers(case, 1.0, {}) == {"mine": {"skip": "no such circuit"}}
    answering = peering.Contest([peering.parse(fake("answer"))], "cpu", 1)
    forward = select(["forward-16-spn"], "cpu")[0]
    assert "skip" in answering.answers(forward, 1.0, {})["mine"]


def test_a_peer_is_asked_once_for_all_times_of_a_circuit() -> None:
    cases = select(["forward-16-spn", "call-16-spn", "em-16-spn", "forward-100-spn"], "cpu")
    contest = peering.Contest([peering.parse(fake("answer"))], "cpu", 1, cases=cases)
    words = contest._options(cases[0])
    assert words[words.index("--time") + 1] == "em,forward"
    alone = peering.Contest([], "cpu", 1)._options(cases[0])
    assert alone[alone.index("--time") + 1] == "forward"


def test_a_call_is_compared_with_a_peers_forward_pass() -> None:
    (call,) = select(["call-16-spn"], "cpu")
    answer = {"step_ms": 7.0, "forward_ms": 3.0, "version": "fake 1"}
    assert peering._for_case(answer, call, 2.0) == {
        "ms": 3.0,
        "over_ours": 1.5,
        "version": "fake 1",
    }


def test_known_peers_are_asked_only_for_what_they_time() -> None:
    (sample,) = select(["query-sample-16-spn"], "cpu")
    contest = peering.Contest([peering.parse(f"pgmpy={sys.executable}")], "cpu", 1)
    assert contest.answers(sample, 1.0, {}) == {"pgmpy": {"skip": "it does not time sample"}}
    assert not contest.failures


def test_kinds_name_peers_that_have_a_script() -> None:
    scripts = {path.stem.removeprefix("with_") for path in peering.SCRIPT.parent.glob("with_*.py")}
    assert {name.replace("-", "_") for name in peering.KNOWN} == scripts
    timed = {name for kind in KINDS.values() for name in kind.peers}
    assert timed == set(peering.KNOWN)


def test_peers_get_the_files_of_a_circuit() -> None:
    case = select(["query-latency-mpe-network-20"], "cpu")[0]
    contest = peering.Contest([peering.parse(fake("network"))], "cpu", 1)
    answer = contest.answers(case, 1.0, {"network": "network random {\n}\n"})
    assert answer["mine"]["ms"] == len("network random {\n}\n")


def test_a_checkout_is_imported_from(tmp_path: Path) -> None:
    peer = peering.parse(f"hyperspn={tmp_path}")
    assert peer.folder == tmp_path
    assert peer.command[0] == sys.executable
    assert peering.parse(f"cirkit={sys.executable}").folder is None


@pytest.mark.parametrize(
    "text",
    ["cirkit", "cirkit=/absent/python", "mine=/absent/program --fast", "mine=/", "mine=python3"],
)
def test_peers_that_cannot_be(text: str, golden: Golden) -> None:
    with pytest.raises(PCCompilerError) as error:
        peering.parse(text)
    golden(str(error.value))


def test_an_unknown_case(golden: Golden) -> None:
    with pytest.raises(PCCompilerError) as error:
        select(["step-16-hyprspn"], "cpu")
    golden(str(error.value))


def test_out_is_no_folder(run: Run, tmp_path: Path) -> None:
    code, _, errors = run("--quick", "--device", "cpu", "--out", tmp_path)
    assert code == 1
    assert "error[PC787]" in errors


@pytest.mark.gpu
def test_cases_on_a_gpu() -> None:
    bench = Bench("cuda", measured(torch.device("cuda")), repeats=3)
    for case in select(["*-16-hyperspn", "*-16-spn"], "cuda"):
        record = bench.run(case)
        assert record["ms"] > (record["floor_ms"] or 0.0) >= 0.0
        assert max(value for name, value in record.items() if name.endswith("_error")) < 1e-4
