"""What a release needs: one version everywhere, and notes about it."""

from __future__ import annotations

import re
from pathlib import Path

import pccompiler

ROOT = Path(__file__).parents[1]


def test_the_citation_has_the_version_and_a_date() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    (version,) = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    (date,) = re.findall(r"^date-released: (.+)$", citation, re.MULTILINE)
    assert version == pccompiler.__version__
    assert f"\n## {version} ({date})\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_newest_section_of_the_changelog_is_this_version() -> None:
    sections = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == pccompiler.__version__


def test_the_hooks_run_the_tools_that_are_pinned() -> None:
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements/cpu.txt").read_text(), re.M))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    tools = set(re.findall(r"entry: \.venv/bin/([\w-]+)", hooks))
    assert tools - {"lint-imports"} <= pinned  # which the package import-linter brings
    assert "import-linter" in pinned


def test_every_supported_python_is_tested() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert 'python: ["3.11", "3.12", "3.13", "3.14"]' in workflow
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()


def test_links_of_the_changelog_and_of_contributing_lead_somewhere() -> None:
    for page in ("CHANGELOG.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
        assert [link for link in links if not (ROOT / link).exists()] == []
