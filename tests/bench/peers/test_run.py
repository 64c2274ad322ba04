"""Timing a peer in its own Python: one that needs nothing but torch, and pgmpy if it is here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pccompiler.bench.peering import SCRIPT
from pccompiler.bench.subjects.bayesian_network import network


def answer(*words: str, peer: str = "plain-torch") -> dict[str, object]:
    command = [sys.executable, str(SCRIPT), peer, *words]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


def test_each_run_is_timed() -> None:
    found = answer("--n", "5", "--batch", "3", "--repeats", "1")
    times = [found[name] for name in ("step_ms", "gradients_ms", "forward_ms")]
    assert all(isinstance(time, float) and time > 0 for time in times)


def test_what_a_peer_cannot_build_is_said() -> None:
    assert "binary RAT-SPNs" in str(answer("--structure", "hclt")["skip"])


def test_only_wanted_runs_are_timed() -> None:
    found = answer("--n", "5", "--batch", "3", "--repeats", "1", "--time", "em,forward")
    assert {name for name in found if name.endswith("_ms")} == {"forward_ms"}


def test_posteriors_in_pgmpy(tmp_path: Path) -> None:
    pytest.importorskip("pgmpy")
    path = tmp_path / "network.bif"
    path.write_text(network(6, 3))
    words = ("--structure", "bayesian-network", "--n", "6", "--batch", "1", "--repeats", "1")
    found = answer(*words, "--network", str(path), peer="pgmpy")
    assert {"posterior_one_ms", "posterior_marginals_ms", "mpe_ms"} <= found.keys()


def test_pgmpy_declines_batches() -> None:
    words = ("--structure", "bayesian-network", "--batch", "2")
    assert "one row at a time" in str(answer(*words, peer="pgmpy")["skip"])
