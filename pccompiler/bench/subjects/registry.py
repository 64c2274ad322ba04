"""All structures of timed circuits, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pccompiler.bench.subjects import (
    bayesian_network,
    file,
    hclt,
    hmm,
    layered,
    learned,
    quad_tree,
    rat_spn,
)
from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.passes import PassManager

STRUCTURES: dict[str, Callable[[Subject], Material]] = {
    "rat-spn": rat_spn.build,
    "hclt": hclt.build,
    "quad-tree": quad_tree.build,
    "hmm": hmm.dense,
    "low-rank-hmm": hmm.low_rank,
    "monarch-hmm": hmm.monarch,
    "learned": learned.build,
    "layered": layered.build,
    "bayesian-network": bayesian_network.build,
    "file": file.build,
}


def material(subject: Subject) -> Material:
    """Build the circuit, and draw rows of data."""
    made = STRUCTURES[subject.structure](subject)
    if not subject.passes:
        return made
    return replace(made, circuit=PassManager.parse(subject.passes)(made.circuit))
