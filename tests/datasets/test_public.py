from __future__ import annotations

import subprocess
import sys

from pccompiler import datasets


def test_public_names() -> None:
    assert datasets.__all__ == sorted(datasets.__all__)
    assert all(hasattr(datasets, name) for name in datasets.__all__)
    assert datasets.load.__module__ == "pccompiler.datasets.loading"


def test_import_is_light() -> None:
    code = (
        "import sys, pccompiler.datasets\n"
        "heavy = {'torch', 'onnx', 'pooch', 'requests'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
