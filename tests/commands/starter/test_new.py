"""``pccompiler new``: the project that it writes works, and nothing is overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from pccompiler.commands.starter.new import project

Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def garden(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, whose modules can be imported."""
    assert run("new", tmp_path / "garden")[0] == 0
    monkeypatch.syspath_prepend(tmp_path / "garden")
    for name in ("circuit", "train", "test_circuit"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / "garden"


def _tests_of(module: ModuleType) -> dict[str, Callable[[], None]]:
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


def test_its_tests_pass_under_pytest(garden: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=garden,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout


def test_its_tests_can_fail(garden: Path) -> None:
    script = garden / "circuit.py"
    script.write_text(script.read_text().replace("wet.bernoulli(", "rain.bernoulli("))
    tests = _tests_of(import_module("test_circuit"))
    assert len(tests) == 3
    for test in tests.values():
        with pytest.raises((AssertionError, ValueError)):  # ValueError: of a circuit, by compile
            test()


def test_the_training_script_and_the_commands_of_its_readme_work(garden: Path, run: Run) -> None:
    exec(compile((garden / "train.py").read_text(), garden / "train.py", "exec"), _main(garden))
    readme = (garden / "README.md").read_text()
    assert readme.startswith("# garden\n")
    commands = [line for line in readme.splitlines() if line.startswith("pccompiler ")]
    assert len(commands) == 5
    for line in commands:
        name, *words = line.split("#")[0].split()[1:]
        words = [word if word.isdecimal() else str(garden / word) for word in words]
        assert run(name, *words)[0] == 0, line


def _main(folder: Path) -> dict[str, object]:
    return {"__name__": "__main__", "__file__": str(folder / "train.py")}


def test_nothing_is_overwritten(run: Run, tmp_path: Path, golden: Golden) -> None:
    (tmp_path / "mine").mkdir()
    assert run("new", tmp_path / "mine")[0] == 0  # an empty folder is fine
    (tmp_path / "mine" / "circuit.py").write_text("my own")
    (tmp_path / "file").touch()
    messages = [run("new", tmp_path / name) for name in ("mine", "file")]
    assert [code for code, _, _ in messages] == [1, 1]
    assert (tmp_path / "mine" / "circuit.py").read_text() == "my own"
    golden("".join(err.replace(str(tmp_path), "DIR") for _, _, err in messages))


def test_the_scripts_are_formatted(tmp_path: Path) -> None:
    for name, text in project("garden").items():
        (tmp_path / name).write_text(text)
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    for words in (["check", "--select=E,F,I,B,D1,UP", "--ignore=D103"], ["format", "--check"]):
        options = ["--isolated", "--no-cache", "--line-length=100"]
        subprocess.run([ruff, *words, *options, "."], check=True, cwd=tmp_path)
