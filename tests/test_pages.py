"""Every example of the README and of the pages under docs/ runs as printed.

The blocks of a page run in order, in one namespace, in an empty folder. What a block is for stands
in its first line:

    python          is executed; a `text` block right below it shows what it prints
    console         holds `$ pccompiler ...` commands, with what they print below each
    sh              holds commands for people; make targets, modules and commands must exist
    csv, pcir, ...  with `title="NAME"` are written to that file; other pcir is parsed

A block that cannot run here says why in its title: `title="Not run in the tests: needs a GPU"`.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import pkgutil
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pccompiler.cli import app, main
from pccompiler.imports.read import IMPORTERS
from pccompiler.ir import parse
from pccompiler.ir.families import base
from pccompiler.ir.generators.registry import GENERATORS
from pccompiler.onnx_backend.generators.registry import GENERATORS as ONNX_GENERATORS
from pccompiler.onnx_backend.leaves.registry import LEAVES as ONNX_LEAVES
from pccompiler.onnx_backend.queries import QUERIES
from pccompiler.passes.registry import PASSES
from pccompiler.plugins import Registry
from pccompiler.structures.registry import STRUCTURES
from pccompiler.torch_backend.engines.select import ENGINES
from pccompiler.torch_backend.leaves.registry import LEAVES as TORCH_LEAVES
from pccompiler.torch_backend.weights.generators.registry import GENERATORS as TORCH_GENERATORS

ROOT = Path(__file__).parents[1]
NAME_ENGINES = {Path("docs/explanation/engines.md"), Path("docs/howto/add-an-engine.md")}
"""Pages whose examples print which engine runs, which is another one without a C compiler."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCE = re.compile(r'^```(\w+)(?: title="([^"\n]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NOT_RUN = "Not run in the tests: "
MOST_NOT_RUN = 5
COMMANDS = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
SHOWN = "text", "json", "toml", "ebnf", "bibtex"  # nothing to run
KEYS = {
    f"pccompiler.{key}"
    for key in (
        "digest",
        "engines",
        "families",
        "generators",
        "importers",
        "onnx_generators",
        "onnx_leaves",
        "onnx_queries",
        "torch_generators",
        "torch_leaves",
    )
}
"""Keys of metadata and groups of entry points, which look like modules."""
REGISTRIES: tuple[Registry[Any], ...] = (
    ENGINES,
    IMPORTERS,
    PASSES,
    QUERIES,
    STRUCTURES,
    TORCH_LEAVES,
    ONNX_LEAVES,
    GENERATORS,
    TORCH_GENERATORS,
    ONNX_GENERATORS,
)
SAME = doctest.OutputChecker()
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block: its language, its title, its text, its place and what it should print."""

    page: Path
    language: str
    title: str
    text: str
    line: int
    prints: str | None

    @property
    def reason(self) -> str | None:
        """Why the block does not run; ``None`` if it does."""
        return self.title.removeprefix(NOT_RUN) if self.title.startswith(NOT_RUN) else None


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = list(FENCE.finditer(text))
    assert text.count("\n```") + text.startswith("```") == 2 * len(found), f"{page}: odd fences"
    return [
        Block(
            page,
            one[1],
            one[2] or "",
            one[3],
            text.count("\n", 0, one.start()) + 1,
            other[3] if other and other[1] == "text" and _adjoin(text, one, other) else None,
        )
        for one, other in zip_longest(found, found[1:])
    ]


def _adjoin(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    return one[1] == "python" and not text[one.end() : other.start()].strip()


def run_python(block: Block, names: dict[str, Any]) -> None:
    padding = "\n" * block.line  # so that tracebacks name the line of the page
    code = compile(padding + block.text, str(block.page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, names)
    if block.prints is not None:
        _compare(block, block.prints, out.getvalue())


def run_console(block: Block) -> None:
    first, *sessions = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first, f"{block.page}:{block.line}: commands start with '$ '"
    for session in sessions:
        command, _, prints = session.partition("\n")
        program, *arguments = shlex.split(command, comments=True)
        assert program == "pccompiler", f"{block.page}:{block.line}: {command}"
        code, out = call(arguments)
        assert bool(code) == ("error" in prints), f"{block.page}:{block.line}: {command}\n{out}"
        if prints.strip():
            _compare(block, prints, out)


def call(arguments: list[str]) -> tuple[int, str]:
    out = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        patch.setattr(sys, "argv", ["pccompiler", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
    return int(stop.value.code or 0), out.getvalue()


def _compare(block: Block, want: str, got: str) -> None:
    place = f"{block.page.relative_to(ROOT)}:{block.line}"
    assert SAME.check_output(want, got, LOOSELY), f"{place} shows\n{want}\nand printed\n{got}"


def run_shell(block: Block) -> None:
    """Nothing runs, but what is named must exist."""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        match words:
            case ["make", target, *_]:
                assert f"\n{target}:" in (ROOT / "Makefile").read_text(), line
            case ["python", "-m", module, *_] if module.startswith("benchmarks."):
                assert importlib.util.find_spec(module), line
            case ["pccompiler", command, *_]:
                assert command in COMMANDS, line
            case _:
                pass


def run(block: Block, names: dict[str, Any]) -> None:
    match block.language:
        case "python":
            run_python(block, names)
        case "console":
            run_console(block)
        case "sh":
            run_shell(block)
        case _ if block.title:
            Path(block.title).write_text(block.text)
        case "pcir":
            parse(block.text)
        case language:
            assert language in SHOWN, f"{block.page}:{block.line}: {language} is not a language"


@pytest.fixture(autouse=True)
def registries_as_before() -> Iterator[None]:
    """What a page registers must not reach other tests."""
    families, own = list(base._MEMBERS), [dict(registry._own) for registry in REGISTRIES]
    yield
    base._MEMBERS[:] = families
    for registry, things in zip(REGISTRIES, own, strict=True):
        registry._own.clear()
        registry._own.update(things)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run_as_printed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if page.relative_to(ROOT) in NAME_ENGINES:
        request.getfixturevalue("needs_a_compiler")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.reason is None:
            run(block, names)
        elif block.language == "python":
            compile(block.text, str(page), "exec")


def test_few_examples_do_not_run_and_each_says_why() -> None:
    skipped = [block for page in PAGES for block in blocks(page) if block.reason is not None]
    assert len(skipped) <= MOST_NOT_RUN
    assert all(len(str(block.reason).split()) > 2 for block in skipped)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_is_fenced(page: Path) -> None:
    """An indented block would escape the test above."""
    text = FENCE.sub("", page.read_text())
    assert re.findall(r"(?<=\n\n) {4,}\S.*", text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_names_are_there(page: Path) -> None:
    """Modules move; pages must move with them."""
    text = page.read_text()
    paths = re.findall(r"`((?:ir|passes|pccompiler|tests|benchmarks)/[\w./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    names = re.findall(r"(?:`|^::: )(pccompiler(?:\.\w+)+)(?=[`(]|$)", text, re.MULTILINE)
    assert [name for name in names if not exists(name) and name not in KEYS] == []
    scripts = re.findall(r"python -m (benchmarks(?:\.\w+)+)", text)
    assert [script for script in scripts if not is_module(script)] == []
    assert re.findall(r"`(?:passes|\w+_backend)[./]\w+\.\w+`", text.replace("`passes/", "")) == []


def exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def is_module(name: str) -> bool:
    """Whether a script is there, even if it needs packages that are not."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_every_command_is_listed() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)", page, re.MULTILINE))
    assert COMMANDS - listed == set()
