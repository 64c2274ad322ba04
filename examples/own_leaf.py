# %% [markdown]
"""# A leaf family of your own

Angles have no place on a line: -179 and 179 degrees are neighbours. The von Mises distribution is a
bell on a circle. One class defines the family, one implements it in torch, and everything that
circuits do works with it. Exports need a third, see "Add a leaf family".
"""

# %%
from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import VonMises, constraints

import pccompiler as pc
from pccompiler.ir.arrays import Float
from pccompiler.ir.families import Family, Parameter, positive, real, register
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf
from pccompiler.torch_backend.leaves.registry import register as register_leaf

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)
PI = float(np.float32(math.pi))  # the greatest angle that float32 data have

# %% [markdown]
# What it is: a name, its parameters, and the density in NumPy, against which the rest is tested.


# %%
class VonMisesFamily(Family):
    """Angles from -pi to pi, about a mean direction."""

    keyword, domains = "von_mises", ("real",)
    parameters = (Parameter("loc", real), Parameter("concentration", positive))
    in_float64 = True

    def log_value(
        self, x: Float, parameters: Sequence[Float], variables: Sequence[pc.Variable]
    ) -> Float:
        """The density by the angle; 0 outside."""
        loc, concentration = parameters
        bessel = np.log(2.0 * math.pi * np.i0(concentration))
        logs = concentration * np.cos(x - loc) - bessel
        return np.asarray(np.where(np.abs(x) <= PI, logs, -np.inf))


# %% [markdown]
# What torch does with it: a class of `torch.distributions` has all but the most probable angle.


# %%
class VonMisesLeaf(DistributionLeaf):
    """Torch's class, on an interval."""

    def mode(self, units: Units) -> Tensor:
        """The mean direction, as an angle."""
        loc = units.parameters[..., 0]
        return torch.atan2(loc.sin(), loc.cos())


register(VonMisesFamily)
register_leaf(VonMisesLeaf("von_mises", VonMises, constraints.interval(-PI, PI)))

# %% [markdown]
# A mixture of two winds, and data of two kinds: the first comes from the south, across the cut.

# %%
rng = np.random.default_rng(0)
east, south = rng.vonmises(0.0, 8.0, 300), rng.vonmises(3.0, 4.0, 300)
x = np.concatenate([east, south])[:, None]
b = pc.Builder([pc.real("direction")])
circuit = b.build(b.sum([b.von_mises(0, units=2)], 1))
assert pc.parse(pc.to_text(circuit)) == circuit
model = pc.compile(circuit, dtype="float64")
history = pc.fit_em(model, x, iterations=20, progress=False)
print(f"mean log-likelihood: {history.evaluations[-1].train:.3f} nats")
print("draws:", model.sample(3, seed=0).flatten().tolist())
print("mean cosine:", model.expectation({"direction": torch.cos}).item())
print("mean and most probable:", model.posterior_marginals({}).mean.item(), model.mpe({}).rows)

# %%
figure = Figure(figsize=(4, 4), layout="constrained")
axes = figure.add_subplot(projection="polar")
angles = np.linspace(-PI, PI, 200)
axes.hist(x[:, 0], 40, density=True, color="0.8")
axes.plot(angles, model.log_likelihood(angles[:, None]).detach().exp())
figure.savefig(OUT / "own_leaf.png", dpi=70)
