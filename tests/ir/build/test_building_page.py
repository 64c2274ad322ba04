"""The examples of docs/building.md run, and make well-formed circuits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pccompiler.ir import Circuit
from pccompiler.passes import verify

PAGE = (Path(__file__).parents[3] / "docs" / "building.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(example: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(example, "docs/building.md", "exec"), names)
    circuit = names["circuit"]
    assert isinstance(circuit, Circuit)
    verify(circuit)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5
