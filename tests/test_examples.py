"""The examples run, and say what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_leaf_families_from_outside_the_package() -> None:
    """A process of its own: the families that it registers stay there."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "own_leaf.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "input direction von_mises 2" in said
    assert "error[PC464]: von_mises leaves cannot be exported" in said
    assert "OnnxLeaf.log_density" in said
    assert "ExportReport" in said.splitlines()[-1]


def test_a_family_takes_less_than_sixty_lines() -> None:
    classes = (EXAMPLES / "own_leaf.py").read_text().split("\nclass ")[1:]
    lines: dict[str, int] = {}
    for text in classes:
        body = text.split("\n\n\n")[0]
        owner = "student" if text.startswith("Student") else "mises"
        lines[owner] = lines.get(owner, 0) + len(body.splitlines())
    assert all(number < 60 for number in lines.values()), lines
