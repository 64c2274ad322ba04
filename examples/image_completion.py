# %% [markdown]
"""# Complete images

A hidden Chow-Liu tree learns 8 x 8 digits by expectation maximisation. Whatever pixels are missing,
in whatever shape, the same model draws them from their exact distribution given the others.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pccompiler as pc

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Each pixel is a variable with 17 grey levels. The tree connects pixels that tell much about each
# other; each has a latent variable of 12 states.

# %%
digits = pc.datasets.load("digits")
pixels = [pc.categorical(f"pixel{i}", 17) for i in range(64)]
circuit = pc.hclt(digits.train, 12, variables=pixels)
model = pc.compile(circuit, seed=0)
history = pc.fit_em(model, digits.train, digits.valid, iterations=12, patience=3, progress=False)
print(f"{circuit}\nvalidation: {history.best_valid:.1f} nats a picture")

# %% [markdown]
# Three ways to lose pixels. NaN means missing.

# %%
pictures = digits.test[:8].astype(np.float64)
rng = np.random.default_rng(0)
masks = {"lower half": np.arange(64) >= 32, "right half": np.arange(64) % 8 >= 4}
masks["half of all"] = rng.random(64) < 0.5
lines = [("picture", pictures)]
for name, mask in masks.items():
    seen = np.where(mask, np.nan, pictures)
    posterior = model.posterior_marginals(seen)
    draws = model.sample_conditional(seen, 1, seed=0)[:, 0]
    lines += [(name, seen), ("mean", posterior.mean.detach().numpy()), ("draw", draws.numpy())]
    error = np.abs(lines[-2][1] - pictures)[:, mask].mean()
    print(f"{name} missing: the mean is off by {error:.1f} of 16 grey levels")

# %% [markdown]
# What is missing is white in the rows of what the model sees.

# %%
figure = Figure(figsize=(6, 8), layout="constrained")
for line, (name, images) in zip(figure.subplots(len(lines), 8), lines, strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axes, image in zip(line, images, strict=True):
        axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        axes.set(xticks=[], yticks=[])
figure.savefig(OUT / "image_completion.png", dpi=60)
