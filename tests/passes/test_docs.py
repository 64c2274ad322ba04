"""The pages about errors and passes match the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from pccompiler.ir import Family
from pccompiler.passes.registry import PASSES

ROOT = Path(__file__).parents[2]
SOURCES = ("ir", "passes", "pccompiler")


def table(page: str) -> list[list[str]]:
    lines = (ROOT / "docs" / page).read_text().splitlines()
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if line.startswith("| ")
    ]


def test_every_error_code_is_listed_once() -> None:
    files = [path for folder in SOURCES for path in (ROOT / folder).glob("**/*.py")]
    used = {code for path in files for code in re.findall(r'"(PC\d{3})"', path.read_text())}
    listed = [row[0] for row in table("reference/errors.md") if re.fullmatch(r"PC\d{3}", row[0])]
    assert sorted(used) == listed  # in order, and without unused codes


def test_every_error_has_a_meaning_and_a_way_out() -> None:
    rows = [row for row in table("reference/errors.md") if row[0].startswith("PC")]
    assert all(len(row) == 3 and all(row) for row in rows)


def test_every_pass_and_option_is_listed() -> None:
    listed = {row[0].strip("`"): row[1] for row in table("reference/passes.md")[1:]}
    assert listed.keys() == PASSES.keys()
    for name, kind in PASSES.items():
        assert all(f"`{field.name}" in listed[name] for field in fields(kind))


def test_every_leaf_family_is_listed() -> None:
    rows = table("reference/leaves.md")
    own = [family.keyword for family in Family if type(family).__module__.startswith("pccompiler")]
    assert set(own) <= {row[0] for row in rows}
