"""The result file and the table of a run."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from pccompiler.bench.ceilings import Rates
from pccompiler.bench.measure import Record
from pccompiler.files import write_bytes
from pccompiler.version import __version__

REVISION_SECONDS = 10


def header(command: str, device: str, rates: Rates, sheet: Rates | None) -> Record:
    """The first line of a result file: the command, the machine and its rates."""
    return {
        "benchmark": "bench",
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **machine(),
        "device": device,
        "pccompiler": __version__,
        "ceilings": asdict(rates),
        "datasheet": None if sheet is None else asdict(sheet),
    }


def machine() -> Record:
    """The machine, the versions and the revision."""
    import numpy
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "revision": _revision(),
    }


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _revision() -> str | None:
    """The commit of the checkout that contains this file, if any."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=REVISION_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return None
    return done.stdout.strip() or None


def write(path: Path, lines: Sequence[Record]) -> None:
    """Write JSON lines atomically."""
    write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def table(records: Sequence[Record]) -> Table:
    """A table of measured times, floors, their ratios, and peers."""
    peers = list(dict.fromkeys(name for r in records for name in r.get("peers", {})))
    made = Table(box=None, pad_edge=False)
    made.add_column("case", no_wrap=True)
    for title in ("batch", "ms", "floor", "x floor", "set by", "log-lik. error", "peak"):
        made.add_column(title, justify="right", no_wrap=True)
    for name in peers:
        made.add_column(name, justify="right", no_wrap=True)
    for record in records:
        made.add_row(*_row(record, peers))
    return made


def _row(record: Record, peers: Sequence[str]) -> list[str]:
    if "error" in record:
        return [record["case"], str(record["batch"]), "failed"]
    peak = record["peak_mib"]
    return [
        record["case"],
        str(record["batch"]),
        _short(record["ms"]),
        *_floor(record),
        f"{record['log_likelihood_error']:.0e}" if "log_likelihood_error" in record else "",
        "" if peak is None else f"{peak:,.0f} MiB",
        *(_of_peer(record.get("peers", {}).get(name, {})) for name in peers),
    ]


def _floor(record: Record) -> list[str]:
    if record["floor_ms"] is None:
        return ["-", "", ""]
    return [_short(record["floor_ms"]), f"{record['over_floor']:,.1f}", record["floor_unit"]]


def _of_peer(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return "failed"
    return f"{_short(answer['ms'])} ({_times(answer['over_ours'])})" if "ms" in answer else "-"


def _times(ratio: float) -> str:
    return f"{ratio:,.1f}x" if ratio >= 0.1 else f"{ratio:.2g}x"


def _short(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1e-4 else f"{value:.1e}"
