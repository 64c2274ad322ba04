from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pccompiler

ROOT = Path(__file__).parent.parent
SOURCES = {"pccompiler": "pccompiler", "pccompiler.ir": "ir", "pccompiler.passes": "passes"}


def test_every_package_is_listed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        ".".join((name, *init.parent.relative_to(ROOT / folder).parts))
        for name, folder in SOURCES.items()
        for init in (ROOT / folder).rglob("__init__.py")  # rglob does not enter the links
    }
    assert sorted(config["packages"]) == sorted(found)
    assert config["package-dir"] == SOURCES


def test_import_is_light() -> None:
    heavy = "torch", "onnx", "onnxruntime", "matplotlib", "numpy", "typer"
    code = f"import sys, pccompiler; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_top_level_folders_are_no_packages() -> None:
    for folder in ("ir", "passes"):
        code = f"import {folder}"
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert f"import 'pccompiler.{folder}'" in out.stderr


def test_every_public_name_exists() -> None:
    for name in pccompiler.__all__:
        assert getattr(pccompiler, name) is not None
    assert sorted(pccompiler.__all__) == dir(pccompiler)
