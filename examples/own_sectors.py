# %% [markdown]
"""# Sectors of your own

A hypernetwork fills the weights of a circuit sector by sector: each sector has an embedding, and
all share one network. How weights are cut into sectors is up to you: by a policy, or by a function
from a weight and its shape to blocks.
"""

# %%
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pccompiler as pc
from pccompiler.ir.sectors import Cut

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# A block is an offset into the weight, and numbers of rows and columns. This function gives each
# row two sectors: weights of the first half of its operands, and of the rest. Weights without a
# sector would have parameters of their own.


# %%
def halves(weight: int, shape: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Two sectors for each row, or one if it is short."""
    rows, columns = shape
    for row in range(rows):
        left = columns // 2
        if left:
            yield row * columns, 1, left
        yield row * columns + left, 1, columns - left


# %% [markdown]
# The same circuit with four ways to cut it, and with no network at all.

# %%
digits = pc.datasets.load("digits")
train, valid = ((part >= 8).astype(np.uint8) for part in (digits.train, digits.valid))
circuit = pc.rat_spn(64, num_replicas=2, units=5, seed=0)
cuts: dict[str, pc.Sectors | Cut | None] = {
    "direct": None,
    "blocks": pc.Sectors(by="block"),
    "rows": pc.Sectors(by="rows", size=1),
    "16 weights": pc.Sectors(by="size", size=16),
    "own: half rows": halves,
}
found: dict[str, tuple[int, float]] = {}
for name, cut in cuts.items():
    weights = pc.Direct() if cut is None else pc.Hypernetwork()
    model = pc.compile(circuit, weights, sectors=cut, seed=0)
    history = pc.fit(
        model, train, valid, steps=60, batch_size=100, learning_rate=0.02, progress=False
    )
    found[name] = model.num_parameters, history.best_valid or -np.inf
    print(f"{name:<15} {found[name][0]:>7,} parameters, validation {found[name][1]:.2f} nats")

# %%
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots()
for name, (parameters, likelihood) in found.items():
    axes.plot(parameters, likelihood, "o", label=name)
axes.set(xlabel="parameters", ylabel="validation after 60 steps (nats)", xscale="log")
axes.grid(alpha=0.3)
axes.legend()
figure.savefig(OUT / "own_sectors.png", dpi=80)
