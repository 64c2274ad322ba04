# %% [markdown]
"""# A pass of your own

A pass maps a circuit to a circuit. This one drops branches that are rarely taken: it sets small
weights of sums to 0 and rescales the others; the pass `prune` then removes what became unreachable.
"""

# %%
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure

import pccompiler as pc
from pccompiler.ir import Circuit, Kind
from pccompiler.passes import Pass, PassManager, Prune
from pccompiler.passes.registry import PASSES

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Options are fields, each with a default. `run` does the work on the circuit's columns; the checks
# before and after come with the base class.


# %%
@dataclass(frozen=True)
class DropRare(Pass):
    """Set weights below a threshold to 0, and rescale the other weights of the sum."""

    name: ClassVar[str] = "drop-rare"
    requires: ClassVar[tuple[str, ...]] = ("well-formed",)
    below: float = 0.05

    def run(self, circuit: Circuit) -> Circuit:
        """Change given weights; a row whose weights are all small stays as it is."""
        sums = np.isin(circuit.kind, (Kind.SUM, Kind.MIXTURE))
        values = dict(circuit.weights.values)
        for weight in set(circuit.weight[sums].tolist()) & values.keys():
            table = values[weight]
            kept = np.where(table < self.below, 0.0, table)
            kept = np.where(kept.sum(1, keepdims=True) > 0, kept, table)
            values[weight] = kept / kept.sum(1, keepdims=True)
        return circuit.with_values(values)


PASSES.add("drop-rare", DropRare)

# %% [markdown]
# On a circuit that LearnSPN made of binarised digits: how much smaller does it get, and what does
# that cost? A registered pass also has a place in the text of a pipeline.

# %%
digits = pc.datasets.load("digits")
train, valid = ((part >= 8).astype(np.uint8)[:, 20:44] for part in (digits.train, digits.valid))
circuit = pc.learn_spn(train, min_rows=100, pseudocount=0.5)
edges: list[int] = []
likelihoods: list[float] = []
thresholds = [0.0, 0.2, 0.3, 0.35, 0.4]
smaller = circuit
for below in thresholds:
    smaller = PassManager([DropRare(below), Prune()])(circuit)
    edges.append(len(smaller.operands))
    likelihoods.append(pc.compile(smaller).log_likelihood(valid).mean().item())
    print(f"below {below}: {edges[-1]} edges, validation {likelihoods[-1]:.2f} nats")
assert PassManager.parse("drop-rare{below=0.4},prune")(circuit) == smaller

# %%
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots()
axes.plot(edges, likelihoods, "o-")
for below, x, y in zip(thresholds, edges, likelihoods, strict=True):
    axes.annotate(f" {below}", (x, y), va="top")
axes.set(xlabel="edges left", ylabel="validation (nats)", title="by threshold")
figure.savefig(OUT / "own_pass.png", dpi=80)
