"""What the benchmarks share: a result file with the command, the machine and the date."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pccompiler.files import write_bytes

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The machine, the versions and the revision (JSON values, hence ``Any``)."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "revision": revision or None,
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


class Report:
    """A result file: a header line, then one line a measurement, each printed as it comes."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        target = folder or Path(os.environ.get("PCCOMPILER_RESULTS", RESULTS))
        self.path = target / f"{name}.jsonl"
        self.lines: list[str] = []
        self.add(
            benchmark=name,
            command=" ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            **machine(),
        )

    def add(self, **fields: Any) -> None:
        """Add a line of JSON values, and write the file anew."""
        self.lines.append(json.dumps(fields))
        print(self.lines[-1], flush=True)
        write_bytes(self.path, ("\n".join(self.lines) + "\n").encode())


def median_ms(step: Callable[[], object], repeats: int, warmup: int = 2) -> float:
    """Median wall-clock time of ``step``, in milliseconds."""
    for _ in range(warmup):
        step()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)
