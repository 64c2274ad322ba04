"""``pccompiler opt`` and ``pccompiler passes``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pccompiler.ir import parse
from pccompiler.passes import findings
from pccompiler.passes.registry import PASSES

Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]

ROUGH = """pcir 1
variable rain binary
variable wet binary
%a = input rain bernoulli 1 @a
%b = input wet bernoulli 1 @b
%p = product %a %b
%r = sum 1 %p %a @r
root %r
weight @a 0.3
weight @b 0.6
weight @r 2 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rough.pcir"
    path.write_text(ROUGH)
    return path


def test_a_circuit_is_mended_and_proven(run: Run, file: Path, golden: Golden) -> None:
    steps = "smooth,normalize,merge,share,condition{evidence=wet:1}"
    code, out, err = run("opt", file, "--passes", steps, "--time", "--verify-semantics")
    assert code == 0
    golden(out + re.sub(r" +\d+\.\d\d ", "  MS ", err))
    assert not findings(parse(out))


def test_results_are_written_and_shown_between(run: Run, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "smooth.pcir"
    code, out, err = run("opt", file, "--passes", "smooth", "--out", target, "--print-between")
    assert code == 0
    assert "2 variables" in out
    assert err == f"# after smooth\n{target.read_text()}\n"


def test_mistakes_leave_no_file(run: Run, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.pcir"
    assert "PC321" in run("opt", file, "--passes", "smoth", "--out", target)[2]
    assert "PC101" in run("opt", file, "--passes", "check", "--out", target)[2]
    assert not target.exists()


def test_passes_are_listed(run: Run) -> None:
    out = run("passes")[1]
    assert all(name in out for name in PASSES)
