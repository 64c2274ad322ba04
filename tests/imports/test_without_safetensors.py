"""The readers of files only need NumPy."""

from __future__ import annotations

import subprocess
import sys


def test_imports_without_safetensors() -> None:
    program = (
        "import sys\n"
        "for name in ('safetensors', 'torch', 'onnx'):\n    sys.modules[name] = None\n"
        "import pccompiler.imports as imports\nfrom pccompiler.ir import parse, to_text\n"
        "import pathlib, tempfile\n"
        "path = pathlib.Path(tempfile.mkdtemp()) / 'a.nnf'\npath.write_text('nnf 1 0 1\\nL 1\\n')\n"
        "circuit = imports.read(path)\nassert parse(to_text(circuit)) == circuit\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
