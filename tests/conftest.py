"""Fixtures that all tests share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import torch

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = Path(__file__).parent / "data"
SHARED = Path(os.environ.get("PCCOMPILER_SHARED", Path(__file__).parents[2] / "shared"))
"""Files of others that are not ours to distribute: tests that need them skip where they are not."""
_owners: dict[Path, str] = {}

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzz", deadline=None, max_examples=5000)
settings.load_profile("ci")

Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]
Find = Callable[[str], Path]
Install = Callable[..., None]
Check = Callable[["torch.nn.Module", "torch.Tensor"], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")
    parser.addoption(
        "--device",
        default="cpu",
        help="where the tests of the torch backend run: cpu, or cuda (marked 'cpu' they stay)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def gradcheck() -> Check:
    """Compare a model's gradients at some rows with finite differences."""
    import torch

    def check(model: torch.nn.Module, x: torch.Tensor) -> None:
        names = [name for name, _ in model.named_parameters()]

        def evaluate(*parameters: torch.Tensor) -> torch.Tensor:
            values = dict(zip(names, parameters, strict=True))
            result: torch.Tensor = torch.func.functional_call(model, values, (x,))
            return result

        # bmm on CPU threads may round differently from run to run: nondet_tol
        assert torch.autograd.gradcheck(evaluate, tuple(model.parameters()), nondet_tol=1e-12)

    return check


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with the file of the test's name under tests/golden."""
    module = Path(str(request.path)).relative_to(Path(__file__).parent).with_suffix("")
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name).strip("-")
    path = GOLDEN / module / f"{name}.txt"
    if _owners.setdefault(path, request.node.nodeid) != request.node.nodeid:
        pytest.fail(f"{path} is the golden file of {_owners[path]} already: rename the test")

    def compare(text: str) -> None:
        wanted = text if text.endswith("\n") else text + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted)
            return
        if not path.exists():
            pytest.fail(
                f"no golden file {path}: run pytest --update-golden, and read what it wrote"
            )
        assert wanted == path.read_text()

    return compare


@pytest.fixture
def sample() -> Find:
    """Find a circuit file in tests/data, or else in the shared folder; skip if it is in neither."""

    def find(name: str) -> Path:
        for path in (SAMPLES / name, SHARED / "circuits" / name):
            if path.exists():
                return path
        pytest.skip(f"needs {SHARED / 'circuits' / name}, or set PCCOMPILER_SHARED")

    return find


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Pretend that a package is installed: ``install("own", "pccompiler.passes", {...}, code)``.

    Its one module has the name of the package and lives as long as the test.
    """

    def make(package: str, group: str, entries: dict[str, str], code: str = "") -> None:
        folder = tmp_path / f"site-{package}"
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        (folder / f"{package}.py").write_text(code)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, package, raising=False)

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``pccompiler`` with arguments: exit code, output, errors."""
    from pccompiler import cli

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pccompiler", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        streams = capsys.readouterr()
        code = stop.value.code
        return (code if isinstance(code, int) else 0), streams.out, streams.err

    return call


@pytest.fixture(scope="session")
def needs_a_compiler() -> None:
    """Skips tests of kernels in C where there is no C compiler."""
    from pccompiler.torch_backend.runtime import c_compiler
    from pccompiler.torch_backend.runtime.kernel_cache import KernelError
    from pccompiler.torch_backend.weights.softmax_cpu import _SOURCE

    try:
        c_compiler.load_c(_SOURCE, ())
    except KernelError as why:
        pytest.skip(str(why))
