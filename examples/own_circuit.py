# %% [markdown]
"""# A circuit of your own for a CSV file

A table of an ice-cream van's days, with empty cells: sums and products say what depends on what,
and expectation maximisation fills in the numbers. Then the circuit answers questions by name.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pccompiler as pc
from pccompiler.datasets import Table, load_file

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The file. Its 600 days are made up: three kinds of days, and one cell in ten is empty.

# %%
rng = np.random.default_rng(0)
kind = rng.choice(3, 600, p=[0.5, 0.3, 0.2])
columns = {
    "temperature": rng.normal(np.array([14.0, 24.0, 19.0])[kind], 3.0).round(1),
    "rain": rng.random(600) < np.array([0.4, 0.05, 0.9])[kind],
    "sold": rng.poisson(np.array([20.0, 90.0, 5.0])[kind]),
}
cells = np.column_stack(list(columns.values())).astype(str)
cells[rng.random(cells.shape) < 0.1] = ""
path = OUT / "days.csv"
path.write_text("\n".join(map(",".join, [list(columns), *cells.tolist()])) + "\n")

# %% [markdown]
# The circuit: a mixture of three kinds of days, in each of which the columns are independent.
# `units=3` declares three leaves at once, `*` multiplies them unit by unit, `.sum()` mixes them.

# %%
table = load_file(path)
assert isinstance(table, Table)
temperature, rain, sold = pc.variables(pc.real("temperature"), "rain", pc.count("sold"))
days = temperature.gaussian(units=3) * rain.bernoulli(units=3) * sold.poisson(units=3)
circuit = days.sum().circuit()
model = pc.compile(circuit, seed=1)
history = pc.fit_em(model, table.values, iterations=30, progress=False)
print(f"{circuit}\nmean log-likelihood: {history.evaluations[-1].train:.2f} nats a day")

# %% [markdown]
# Questions by name; what is not mentioned is integrated out.

# %%
dry_chance = model.log_conditional({"rain": 0}, {"temperature": 22.0}).exp().item()
print(f"p(dry | 22 degrees) = {dry_chance:.2f}")
forecasts = {"dry": 0, "rain": 1, "who knows": np.nan}
degrees = np.linspace(5.0, 32.0, 60)
figure = Figure(figsize=(6, 3.5), layout="constrained")
axes = figure.subplots()
axes.scatter(table.values[:, 0], table.values[:, 2], s=6, color="0.7", label="days")
for label, forecast in forecasts.items():
    rows = np.column_stack([degrees, np.full(60, forecast), np.full(60, np.nan)])
    mean = model.posterior_marginals(rows, variables=["sold"]).mean[:, 0]
    axes.plot(degrees, mean.detach(), label=f"mean, forecast: {label}")
axes.set(xlabel="temperature", ylabel="sold")
axes.legend()
figure.savefig(OUT / "own_circuit.png", dpi=80)
