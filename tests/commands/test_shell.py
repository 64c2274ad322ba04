"""What a shell sees: help, version, completion, and plug-ins of other packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import pccompiler
from pccompiler.ir.families import base

Golden = Callable[[str], None]
Install = Callable[..., None]
Run = Callable[..., tuple[int, str, str]]
HEAVY = ("torch", "onnx", "onnxruntime", "matplotlib", "networkx", "pandas", "sklearn")
STORY = "new check explain draw show train query sample complete marginals score export import opt"
COMPLETE = f"""
import sys
from pccompiler import cli
sys.argv = ["pccompiler"]
try:
    cli.main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
FAMILY = '''
import numpy as np
from pccompiler.ir.families import Family, Parameter, positive, register

class Exponential(Family):
    """Exponential, with a rate."""

    keyword, domains = "exponential", ("real",)
    parameters = (Parameter("rate", positive),)

    def log_value(self, x, parameters, variables):
        (rate,) = parameters
        return np.where(x < 0.0, -np.inf, np.log(rate) - rate * x)

EXPONENTIAL = register(Exponential)
'''
PASS = '''
from dataclasses import dataclass
from typing import ClassVar
from pccompiler.passes import Pass

@dataclass(frozen=True)
class Same(Pass):
    """Change nothing."""

    name: ClassVar[str] = "same"

    def run(self, circuit):
        return circuit
'''


def test_the_commands_are_in_the_order_of_the_story(run: Run) -> None:
    _, printed, _ = run("--help")
    listed = re.findall(r"^│ ([a-z]+) +\S", printed, re.MULTILINE)
    assert [name for name in listed if name in STORY.split()] == STORY.split()
    panels = [line for line in printed.splitlines() if line.startswith("╭")]
    assert len(panels) == 5  # of the options, and four of commands


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"pccompiler {pccompiler.__version__}\n", "")


def test_the_module_is_the_command() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "pccompiler", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == f"pccompiler {pccompiler.__version__}\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("pccompiler sa", ["sample"]),
        ("pccompiler train --struc", ["--structure"]),
        ("pccompiler train --structure quad", ["quad-tree", "quad-graph"]),
        ("pccompiler train --data nl", ["nltcs"]),
        ("pccompiler opt a.pcir --passes smooth,merge", ["smooth,merge"]),
    ],
)
def test_completion_offers_what_fits_and_imports_nothing_heavy(
    words: str, offered: list[str]
) -> None:
    shell = {"_PCCOMPILER_COMPLETE": "complete_bash", "COMP_WORDS": words}
    ran = subprocess.run(
        [sys.executable, "-c", COMPLETE],
        env={**os.environ, **shell, "COMP_CWORD": str(len(words.split()) - 1)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == offered
    assert ran.stderr == "[]\n"


def test_completion_can_be_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    code, printed, _ = run("--show-completion", "bash")
    assert code == 0
    assert "_PCCOMPILER_COMPLETE=complete_bash" in printed


@pytest.fixture
def coins(tmp_path: Path) -> Path:
    """A circuit with a leaf family that is not ours."""
    file = tmp_path / "wait.pcir"
    file.write_text(
        "pcir 1\nvariable wait real\n%a = input wait exponential 1 @a\nroot %a\nweight @a 2.0\n"
    )
    return file


@pytest.fixture
def _families() -> Iterator[None]:
    """Forget families that a test registers."""
    known = list(base._MEMBERS)
    yield
    base._MEMBERS[:] = known


@pytest.mark.usefixtures("_families")
def test_families_of_other_packages(install: Install, run: Run, coins: Path) -> None:
    assert run("check", coins)[0] == 1
    install("own_wait", "pccompiler.families", {"exponential": "own_wait:EXPONENTIAL"}, FAMILY)
    assert run("check", coins)[0] == 0
    code, printed, err = run("opt", coins, "--passes", "check")
    assert (code, printed, err) == (0, coins.read_text(), "")


def test_passes_of_other_packages(install: Install, run: Run, tmp_path: Path) -> None:
    install("own_same", "pccompiler.passes", {"same": "own_same:Same"}, PASS)
    file = tmp_path / "coin.pcir"
    file.write_text("pcir 1\nvariable x binary\n%x = input x bernoulli 1 @x\nroot %x\n")
    code, printed, err = run("opt", file, "--passes", "same,share")
    assert (code, err) == (0, "")
    assert printed.startswith("pcir 1\n")
    assert "Change nothing." in run("passes")[1]
    (tmp_path / "a.csv").write_text("0\n1\n" * 20)
    code, _, err = run(
        "train", "--data", tmp_path / "a.csv", "--out", tmp_path / "m", "--circuit", file,
        "--passes", "same", "--steps", "2", "--device", "cpu",
    )  # fmt: skip
    assert (code, err) == (0, "")


def test_broken_packages_are_named(install: Install, run: Run, coins: Path, golden: Golden) -> None:
    broken = "raise ImportError('no such library')"
    install("bad_wait", "pccompiler.families", {"exponential": "bad_wait:EXPONENTIAL"}, broken)
    install("bad_same", "pccompiler.passes", {"same": "bad_same:Same"}, broken)
    install("bad_tree", "pccompiler.structures", {"tree": "bad_tree:tree"}, broken)
    rows = coins.with_name("a.csv")
    rows.write_text("0\n1\n" * 20)
    train = ("train", "--data", rows, "--out", coins.with_name("m"), "--device", "cpu")
    messages: list[str] = []
    for words in (
        ("check", coins),
        ("opt", coins, "--passes", "same"),
        (*train, "--passes", "same"),
        (*train, "--structure", "tree"),
    ):
        code, _, err = run(*words)
        assert code == 1
        messages.append(err)
    golden("".join(messages))


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
@pytest.mark.cpu
def test_cuda_where_there_is_none(
    run: Run, tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    (tmp_path / "a.csv").write_text("0,1\n1,0\n" * 20)
    code, _, err = run(
        "train", "--data", tmp_path / "a.csv", "--out", tmp_path / "m", "--device", "cuda"
    )
    assert code == 1
    assert not (tmp_path / "m").exists()
    golden(err)
