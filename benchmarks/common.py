"""The result file that benchmarks share, with the command, the machine and the date."""

from __future__ import annotations

import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

from pccompiler.bench.report import machine
from pccompiler.files import write_bytes

RESULTS = Path(__file__).parent / "results"


class Report:
    """A result file: a header line, then one line per measurement, each printed at once."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        target = folder or Path(os.environ.get("PCCOMPILER_RESULTS", RESULTS))
        self.path = target / f"{name}.jsonl"
        self.lines: list[str] = []
        spec = sys.modules["__main__"].__spec__
        self.add(
            benchmark=name,
            command=" ".join(["python -m", spec.name if spec else sys.argv[0], *sys.argv[1:]]),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            **machine(),
        )

    def add(self, **fields: Any) -> None:
        """Add a line of JSON values, and rewrite the file."""
        self.lines.append(json.dumps(fields))
        print(self.lines[-1], flush=True)
        write_bytes(self.path, ("\n".join(self.lines) + "\n").encode())
