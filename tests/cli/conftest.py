"""The command line, called as a program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pccompiler import cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``pccompiler`` with arguments: exit code, output, errors."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pccompiler", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        streams = capsys.readouterr()
        code = stop.value.code
        return (code if isinstance(code, int) else 0), streams.out, streams.err

    return call
