"""Timing a peer in its own Python, with the only peer that needs nothing but torch."""

from __future__ import annotations

import json
import subprocess
import sys

from pccompiler.bench.peering import SCRIPT


def answer(*words: str) -> dict[str, object]:
    command = [sys.executable, str(SCRIPT), "plain-torch", *words]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


def test_each_run_is_timed() -> None:
    found = answer("--n", "5", "--batch", "3", "--repeats", "1")
    times = [found[name] for name in ("step_ms", "gradients_ms", "forward_ms")]
    assert all(isinstance(time, float) and time > 0 for time in times)


def test_what_a_peer_cannot_build_is_said() -> None:
    assert "binary RAT-SPNs" in str(answer("--structure", "hclt")["skip"])
