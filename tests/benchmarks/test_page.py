"""The page of figures is what the result files say, and says so of other results as well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.common import RESULTS
from benchmarks.page.contest import Contest, verdict
from benchmarks.page.pages import CHARTS, DOCS, documents, write
from benchmarks.page.results import Results, ResultsError, command
from benchmarks.page.section import Section
from benchmarks.page.sections.cases import every_case
from benchmarks.page.sections.cpu import cpus

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="folder")
def copied(tmp_path: Path) -> Path:
    """A copy of the results, to change."""
    return Path(shutil.copytree(RESULTS, tmp_path / "results"))


def test_the_committed_page_and_charts_are_those_of_the_results() -> None:
    made = documents(Results())
    for name, text in made.items():
        assert (DOCS / name).read_text() == text, "run make figures, and read what changed"
    drawn = {f"{CHARTS}/{path.name}" for path in (DOCS / CHARTS).iterdir()}
    assert drawn == set(made) - {"benchmarks.md"}


def test_writing_removes_charts_of_the_past(tmp_path: Path) -> None:
    (tmp_path / CHARTS).mkdir(parents=True)
    (tmp_path / CHARTS / "old.svg").write_text("<svg/>")
    write(tmp_path, Results())
    assert not (tmp_path / CHARTS / "old.svg").exists()
    assert (tmp_path / "benchmarks.md").read_text() == (DOCS / "benchmarks.md").read_text()


def test_lines_and_fields_of_other_kinds_change_nothing(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines = [{**line, "of_the_future": 1.5} for line in lines]
        path.write_text("".join(json.dumps(x) + "\n" for x in [*lines, {"remark": "x"}]))
    assert documents(Results(folder)) == documents(Results())


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_missing_file_is_named_with_its_script(path: Path, folder: Path) -> None:
    """Each file is either read, and missed, or stands in another page."""
    (folder / path.name).unlink()
    told = _refusal(folder)
    if told:
        assert path.name in told
        assert "make it with python -m benchmarks." in told
    else:
        pages = "".join(page.read_text() for page in (ROOT / "docs").glob("**/*.md"))
        assert path.stem in pages, f"nothing uses {path.name}"


def _refusal(folder: Path) -> str:
    try:
        documents(Results(folder))
    except ResultsError as error:
        return str(error)
    return ""


def test_a_missing_field_is_named(folder: Path) -> None:
    path = folder / "em_cpu.jsonl"
    path.write_text(path.read_text().replace("pass_ms", "milliseconds"))
    with pytest.raises(ResultsError, match=r"em_cpu.jsonl has no line with .*pass_ms: make it"):
        documents(Results(folder))


def test_the_page_says_where_a_peer_is_faster(folder: Path) -> None:
    path = folder / "calls_pyjuice.jsonl"
    path.write_text(
        path.read_text().replace('"pyjuice_call_ms": 0.2173', '"pyjuice_call_ms": 0.01')
    )
    page = " ".join(documents(Results(folder))["benchmarks.md"].split())
    there_and_in_the_summary = page.count("a call, n = 16, rows 500 (0.01, ours 0.139)")
    assert there_and_in_the_summary == 2


def test_verdicts() -> None:
    said = verdict([Contest("a", 1.0, "X", 3.0), Contest("b", 1.0, "X", 1.0)])
    assert said == (
        "Beside X, pccompiler is faster in 1 of 2 cases; X takes 2 times as long (median). "
        "**Peer faster**: b (1, ours 1)."
    )
    assert verdict([Contest("a", 1.0, "X", 3.0)]).endswith("**Peer faster**: none.")


HEADER = {
    "benchmark": "bench",
    "command": "pccompiler bench em --device cpu",
    "date": "2030-01-01",
    "cpu": "AMD EPYC",
    "cores": 2,
    "gpu": None,
    "device": "cpu",
}
NEW = {
    "case": "em-step-16",
    "batch": 8,
    "ms": 2.0,
    "peers": {"new": {"ms": 1.0}, "x": {"skip": ""}},
}


def bench(folder: Path, *lines: Mapping[str, object]) -> Results:
    path = folder / "bench_new.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (HEADER, *lines)))
    return Results(folder)


def test_groups_and_peers_of_the_future_are_shown(folder: Path) -> None:
    results = bench(folder, NEW)
    assert "| em-step-16 | 8 | 2 | 1 (0.5x) |" in every_case(results).text
    assert "| em-step-16 | 8 | 2 | 1 | 0.5 |" in cpus(results).text
    assert "| new | 1 | 0 | 0.5 | em-step-16 (1, ours 2) |" in documents(results)["benchmarks.md"]


def test_a_case_stands_under_its_latest_file(folder: Path) -> None:
    row = "| image-step-14x14x256x32 | 128 |"
    again = {"case": "image-step-14x14x256x32", "batch": 128, "ms": 7.0}
    before = every_case(Results(folder)).text.count(row)
    without = every_case(bench(folder, again)).text
    assert f"{row} 7 |" in without
    assert without.count(row) == before  # the one with a peer stays, the one without goes
    peered = every_case(bench(folder, {**again, "peers": {"cirkit": {"ms": 30.0}}})).text
    assert peered.count(row) == 1


def test_failures_are_told_unless_the_case_ran_later(folder: Path) -> None:
    failed = {"case": "em-step-16", "batch": 8, "error": "boom"}
    results = bench(folder, {**NEW, "case": "other"}, failed)
    assert "Failed, and not measured later: em-step-16." in every_case(results).text
    assert "Failed" not in every_case(bench(folder, NEW, failed)).text


def test_commands_name_scripts_of_today() -> None:
    for before, now in (
        ("python -m benchmarks.gpu_step", "python -m benchmarks.steps.gpu_step"),
        ("python -m benchmarks.paper nltcs", "python -m benchmarks.paper.tables nltcs"),
        ("python -m benchmarks.steps.calls --pyjuice",) * 2,
        ("pccompiler bench hmm",) * 2,
    ):
        assert command({"command": before}) == now


def test_charts_speak() -> None:
    section = Section("A")
    section.contest_chart("a", "time & more", [Contest("one", 0.5, "X", 20.0)])
    drawn = section.charts["a"]
    assert "<title>time &amp; more</title>" in drawn
    assert "<desc>one: pccompiler 0.5 ms, X 20 ms</desc>" in drawn
