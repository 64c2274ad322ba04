"""The examples in the README run as printed, with fewer steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pccompiler as pc
from pccompiler.errors import DataError

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=["train", "own circuit"])
def test_example(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "datasets.load" in block:
        try:
            pc.datasets.load("nltcs", download=False)
        except DataError as error:
            pytest.skip(str(error).splitlines()[0])
    monkeypatch.chdir(tmp_path)
    exec(compile(block.replace("steps=4000", "steps=20"), "README.md", "exec"), {})
