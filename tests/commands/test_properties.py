"""``pccompiler properties``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pccompiler as pc
from pccompiler.ir import to_text

Run = Callable[..., tuple[int, str, str]]


def test_properties(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.pcir"
    path.write_text(to_text(pc.hmm(4, 2)))
    code, out, _ = run("properties", path, "--with", path, "--vtree")
    assert code == 0
    assert "structured decomposable" in out
    assert "x3" in out
    report = json.loads(run("properties", path, "--json")[1])
    assert {entry["name"] for entry in report["queries"]} >= {"log-likelihood", "entropy"}
