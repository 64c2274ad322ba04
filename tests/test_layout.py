"""The folders: how many files they hold, how long those are, and who imports whom."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST_FILES = 15
MOST_LINES = 300
MOST_FUNCTION = 60
SOURCES = ("pccompiler", "ir", "passes")
UNMIRRORED = (
    "tests/onnx_backend/generators",
    "tests/onnx_backend/leaves",
    "tests/torch_backend/engines/dense/kernels",
    "tests/torch_backend/leaves/fitting",
    "tests/torch_backend/weights/generators",
)
"""Folders whose sources are tested from the folder above."""
LINKED = {"ir": "pccompiler/ir", "passes": "pccompiler/passes"}


@cache
def files(*folders: str) -> tuple[Path, ...]:
    """The Python files under some folders, relative to the root; links are not followed."""
    return tuple(
        path.relative_to(ROOT)
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "golden" not in path.parts
    )


def module(path: Path) -> str:
    """The name that a source file is imported by."""
    top, *rest = path.with_suffix("").parts
    parts = [*LINKED.get(top, top).split("/"), *rest]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: frozenset[str]) -> Iterator[str]:
    """The modules of the project that a file imports anywhere, also for annotations only."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def test_no_folder_holds_too_many_files() -> None:
    everything = files(*SOURCES, "tests", "benchmarks", "examples", "docs")
    numbers = Counter(path.parent for path in everything)
    assert {str(folder): n for folder, n in numbers.items() if n > MOST_FILES} == {}


def test_no_source_file_is_too_long() -> None:
    lengths = {str(p): len((ROOT / p).read_text().splitlines()) for p in files(*SOURCES)}
    assert {p: n for p, n in lengths.items() if n > MOST_LINES} == {}


def test_no_function_is_too_long() -> None:
    found: dict[str, int] = {}
    for path in files(*SOURCES):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef):
                found[f"{path}:{node.name}"] = _code_lines(node)
    assert {name: n for name, n in found.items() if n > MOST_FUNCTION} == {}


def _code_lines(function: ast.FunctionDef) -> int:
    """Lines of the body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = frozenset(module(path) for path in files(*SOURCES))
    below = {module(path): set(imported(path, modules)) for path in files(*SOURCES)}
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail("imported by the next: " + ", ".join(error.args[1]))


def test_every_folder_of_sources_is_a_package() -> None:
    folders = {path.parent for path in files(*SOURCES)}
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


def test_every_folder_of_sources_has_tests_in_a_folder_of_its_name() -> None:
    tested = {path.parent for path in files("tests") if path.name.startswith("test_")}
    wanted = {
        Path("tests", *path.parent.parts[path.parts[0] == "pccompiler" :])
        for path in files(*SOURCES)
        if path.name != "__init__.py"
    }
    missing = {folder for folder in wanted if not any(t.is_relative_to(folder) for t in tested)}
    assert sorted({str(folder) for folder in missing} - {*UNMIRRORED}) == []


def test_every_golden_file_belongs_to_a_test_module() -> None:
    golden = ROOT / "tests" / "golden"
    modules = {path.parent.relative_to(golden) for path in golden.rglob("*.txt")}
    assert [str(m) for m in modules if not (ROOT / "tests" / m).with_suffix(".py").exists()] == []
