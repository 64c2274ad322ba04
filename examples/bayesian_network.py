# %% [markdown]
"""# A Bayesian network, compiled

A network in the BIF format of bnlearn and pgmpy becomes a circuit by variable elimination, done
once. After that every question is a pass through the circuit, for a whole batch of evidence.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pccompiler as pc
from pccompiler.imports import compile_network, read_network

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Wet grass has two explanations, and clouds influence both.

# %%
BIF = """
network garden { }
variable clouds { type discrete [ 2 ] { no, yes }; }
variable sprinkler { type discrete [ 2 ] { off, on }; }
variable rain { type discrete [ 2 ] { no, yes }; }
variable grass { type discrete [ 2 ] { dry, wet }; }
probability ( clouds ) { table 0.5, 0.5; }
probability ( sprinkler | clouds ) { (no) 0.5, 0.5; (yes) 0.9, 0.1; }
probability ( rain | clouds ) { (no) 0.8, 0.2; (yes) 0.2, 0.8; }
probability ( grass | sprinkler, rain ) {
  (off, no) 1.0, 0.0; (on, no) 0.1, 0.9; (off, yes) 0.1, 0.9; (on, yes) 0.01, 0.99;
}
"""
(OUT / "garden.bif").write_text(BIF)
network = read_network(OUT / "garden.bif")
circuit = compile_network(network)
model = pc.compile(circuit, dtype="float64")
print(circuit)

# %% [markdown]
# The circuit is the joint distribution: log p of one world is the sum of four table entries.

# %%
world = {"clouds": 1, "sprinkler": 0, "rain": 1, "grass": 1}
by_hand = np.log([0.5, 0.9, 0.8, 0.9]).sum()
print(f"log p(world): {model.log_likelihood(world).item():.6f}, by hand {by_hand:.6f}")

# %% [markdown]
# Four states of knowledge are one batch. Rain explains the wet grass away: given rain, the
# sprinkler is less likely to be on again.

# %%
evidence: dict[str, dict[str, int]] = {
    "nothing": {},
    "wet grass": {"grass": 1},
    "wet grass, rain": {"grass": 1, "rain": 1},
    "wet grass, no rain": {"grass": 1, "rain": 0},
}
causes = ["clouds", "sprinkler", "rain"]
chances = model.posterior_marginals(list(evidence.values()), variables=causes).mean.detach().numpy()
for name, row in zip(evidence, chances.tolist(), strict=True):
    print(f"given {name:<19}", *(f"p({c}) = {p:.3f}" for c, p in zip(causes, row, strict=True)))

# %%
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots()
for number, name in enumerate(evidence):
    axes.bar(np.arange(3) + 0.2 * (number - 1.5), chances[number], 0.2, label=f"given {name}")
axes.set_xticks(range(3), causes)
axes.set(ylabel="probability", ylim=(0, 1.3))
axes.legend(ncols=2)
figure.savefig(OUT / "bayesian_network.png", dpi=80)
