"""The examples and the demo run, draw, fit on a screen or two, and are notebooks."""

from __future__ import annotations

import re
import runpy
from html import unescape
from pathlib import Path

import jupytext
import pytest

import pccompiler as pc
from docs import hooks
from examples import demo
from tests.test_pages import registries_as_before as registries_as_before  # examples register, too

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "demo.py"
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path != DEMO)
INDEX = ROOT / "docs" / "examples.md"
PICTURES = ROOT / "docs" / "images" / "examples"
MOST_LINES = 100

each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@each
def test_it_runs_and_draws(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert (tmp_path / "out" / "examples" / f"{path.stem}.png").stat().st_size > 1_000
    assert capsys.readouterr().out


@each
def test_it_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < MOST_LINES


@pytest.mark.parametrize("path", [DEMO, *EXAMPLES], ids=lambda path: path.stem)
def test_it_is_a_notebook(path: Path) -> None:
    """Text first, with a title; the code in cells is that of the script."""
    cells = jupytext.read(path).cells
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    compile(code, str(path), "exec")
    written = jupytext.writes(jupytext.read(path), fmt="ipynb")
    assert [c.source for c in jupytext.reads(written, fmt="ipynb").cells] == [
        c.source for c in cells
    ]


@pytest.mark.parametrize("path", [DEMO, *EXAMPLES], ids=lambda path: path.stem)
def test_its_page_has_all_its_cells(path: Path) -> None:
    """The site's pages are made of the scripts, by what jupytext makes of them."""
    page = hooks.page_of(path)
    for cell in jupytext.read(path).cells:
        code = cell.cell_type == "code"
        assert (f"```python\n{cell.source}\n```" if code else cell.source) in page


@each
def test_the_index_shows_it(path: Path) -> None:
    title = jupytext.read(path).cells[0].source.splitlines()[0].removeprefix("# ")
    assert f"[{title}](../examples/{path.name})" in INDEX.read_text()
    assert (PICTURES / f"{path.stem}.png").is_file(), "make examples"


def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting, one seed and few steps; `make demo` has more of each."""
    few = {name: settings[:1] for name, settings in demo.SETTINGS.items()}
    monkeypatch.setattr(demo, "SETTINGS", few)
    page = demo.main(tmp_path / "demo", seeds=1, steps=25)
    text = unescape(page.read_text())
    assert "error[PC101]: sum %4 is not smooth: child %3 lacks {wet}" in text
    assert "is ahead by" in text
    assert "ONNX Runtime's answers equal torch's" in text
    assert text.count('src="data:image/png;base64,') == 2
    assert text.count("<svg") == 2
    assert re.findall(r'(?:src|href)="(?!data:|#)', text) == []


def test_the_verdict_of_the_demo_is_about_whoever_wins() -> None:
    def runs(*tests: float) -> list[demo.Run]:
        model = pc.compile(pc.rat_spn(2, 1, 1))
        return [demo.Run("", 0, demo.Setting(0.1), model, test=test) for test in tests]

    assert demo.verdict({"HyperSPN": runs(-1.0, -3.0), "SPN": runs(-2.0, -2.5)}) == (
        "The HyperSPN is ahead by 0.25 nats a picture on average, and on 1 of 2 seeds."
    )
    assert "The SPN is ahead by 1.00" in demo.verdict({"HyperSPN": runs(-3.0), "SPN": runs(-2.0)})
