"""What was mended: for each matter its tests, how many were tried, and how many went wrong.

    python -m benchmarks.mended                  # on the CPU
    python -m benchmarks.mended --device cuda    # the tests of the torch backend on a GPU

`--jobs N` runs N tests at once, where pytest-xdist is installed. One line a matter. A test with
many cases counts each; those that draw their cases, or count mutants of their own, count once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.common import Report

ROOT = Path(__file__).parents[1]
TORCH = "tests/torch_backend/"
MATTERS: dict[str, tuple[str, ...]] = {
    "derivatives of any order; torch.func, compile, export": (
        TORCH + "test_derivatives.py",
        TORCH + "test_transforms.py",
    ),
    "model(x) checks and moves; inputs of every kind": (
        TORCH + "test_entrance.py",
        "tests/test_tables.py",
        "tests/test_options.py",
        "tests/test_odd_values.py",
        "tests/onnx_backend/test_rows.py",
    ),
    "sums of many logarithms": (TORCH + "test_long_products.py",),
    "the gate of ONNX exports": ("tests/onnx_backend/test_gate.py",),
    "sectors of one's own": ("tests/ir/test_own_sectors.py", TORCH + "test_own_sectors.py"),
    "counts that multiply": ("tests/ir/test_limits.py",),
    "failed fits, frozen and fresh parameters": (TORCH + "test_sound_training.py",),
    "values that a precision cannot hold": (TORCH + "test_precision.py",),
    "resumed trainings": (
        TORCH + "test_resume.py",
        TORCH + "test_kills.py",
        "tests/commands/training/test_interrupted.py",
    ),
    "saving and writing": (TORCH + "test_saving.py", "tests/test_writing_files.py"),
    "readers: fuzz and bombs": ("tests/fuzz",),
    "digests": (
        "tests/onnx_backend/test_damaged_files.py",
        TORCH + "test_damaged_checkpoints.py",
    ),
    "Bayesian networks": ("tests/imports/bayesian/test_bif.py",),
    "other formats": (
        "tests/imports/formats/test_d4.py",
        "tests/imports/packages/spflow/test_modules.py",
        "tests/imports/test_without_safetensors.py",
    ),
    "threads": (TORCH + "test_threads.py", TORCH + "test_cpu_trees.py"),
    "cache of kernels, compilers": (
        TORCH + "test_kernel_files.py",
        TORCH + "test_c_compiler.py",
    ),
    "the whole torch backend": (TORCH,),
}


def counts(paths: tuple[str, ...], options: list[str]) -> dict[str, int]:
    """Tests that were tried, went wrong, and were skipped."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={out}", *options, *paths]
        subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
        found = ElementTree.parse(out).getroot().find("testsuite")
    if found is None:
        raise RuntimeError(f"pytest reports nothing of {paths}")
    wrong = int(found.attrib["failures"]) + int(found.attrib["errors"])
    skipped = int(found.attrib["skipped"])
    return {
        "tried": int(found.attrib["tests"]) - skipped,
        "wrong": wrong,
        "skipped": skipped,
    }


def main() -> None:
    """Run the tests of each matter; on a GPU those of the torch backend alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    device: str = given.device
    options = [f"--device={device}", *([f"-n{given.jobs}"] if given.jobs > 1 else [])]
    report = Report("mended" if device == "cpu" else f"mended_{device}")
    for matter, paths in MATTERS.items():
        chosen = paths if device == "cpu" else tuple(p for p in paths if p.startswith(TORCH))
        if chosen:
            report.add(matter=matter, tests=list(chosen), **counts(chosen, options))


if __name__ == "__main__":
    main()
