"""The README is short, and its pictures are those that the scripts draw."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import pictures

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_it_is_short() -> None:
    assert len(README.split()) <= 600
    assert len(re.findall(r"(?<![\w.])\d[\d.,_]*", README)) <= 25


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_pictures_are_those_of_the_script(tmp_path: Path) -> None:
    pictures.write(tmp_path)
    for drawn in tmp_path.iterdir():
        assert drawn.read_text() == (pictures.IMAGES / drawn.name).read_text(), (
            "run python -m benchmarks.pictures, and look at what it drew"
        )
