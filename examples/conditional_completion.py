# %% [markdown]
"""# A picture completed, given an encoder's output

The encoder sees a blurred copy of a picture: the mean of each quarter. Its output makes the
weights of a circuit over the pixels, and the upper half is evidence as usual. What is missing is
drawn from the exact conditional distribution. The same circuit without an encoder shows what the
copy is worth.
"""

# %%
from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor, nn

import pccompiler as pc

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)
PIXELS, STEPS, SHOWN = 64, 150, 10

# %%
digits = pc.datasets.load("digits")
train, test = (torch.from_numpy(part).gt(7).float() for part in (digits.train, digits.test))


def blurred(x: Tensor) -> Tensor:
    """The mean of each quarter, shape (rows, 4)."""
    return nn.functional.avg_pool2d(x.view(-1, 1, 8, 8), 4).flatten(1)


# %% [markdown]
# The network's first layers are the encoder; its last layer makes the circuit's weights.

# %%
torch.manual_seed(0)
circuit = pc.rat_spn(PIXELS, num_replicas=3, units=4, seed=0)
encoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU())
network = pc.Blockwise(encoder, 32, pc.External.size(circuit))
model = pc.compile(circuit, pc.External(network), seed=0)
optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
for _ in track(range(STEPS), "training"):
    rows = train[torch.randint(len(train), (50,))]
    optimizer.zero_grad()
    (-model.log_likelihood(rows, context=blurred(rows), check=False).mean()).backward()
    optimizer.step()

# %% [markdown]
# The same circuit with weights that do not depend on anything:

# %%
alone = pc.compile(circuit, seed=0)
pc.fit(alone, train, steps=STEPS, batch_size=50, learning_rate=0.1, progress=False)

# %% [markdown]
# How well is the lower half predicted, on pictures that neither has seen?

# %%
half = test.clone()
half[:, PIXELS // 2 :] = torch.nan
with torch.no_grad():
    without = alone.log_conditional(test, half).mean()
    given = model.log_conditional(test, half, context=blurred(test)).mean()
print(f"log p(lower half | upper half): {without:.2f} nats; with the encoder {given:.2f} nats")

# %% [markdown]
# From top to bottom: test pictures, what is seen of them, and draws with and without the encoder.

# %%
shown, seen = test[:SHOWN], half[:SHOWN]
completed = model.sample_conditional(seen, context=blurred(shown), seed=0)[:, 0]
images = torch.stack([shown, seen, completed, alone.sample_conditional(seen, seed=0)[:, 0]])
pixels = images.nan_to_num(0.4).view(4, SHOWN, 8, 8).transpose(1, 2).reshape(32, 8 * SHOWN)
figure = Figure(figsize=(0.8 * SHOWN, 3.2))
axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
axes.imshow(pixels.numpy(), cmap="gray_r")
axes.set_axis_off()
figure.savefig(OUT / "conditional_completion.png")
