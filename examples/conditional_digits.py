# %% [markdown]
"""# Digits, given their class

A network maps the embedding of a class to the weights of a circuit. Each class gets a circuit
that is normalised, whatever the network does: Bayes' rule makes them a classifier, and they draw
pictures of the class that one asks for.
"""

# %%
from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import nn

import pccompiler as pc

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)
CLASSES, PIXELS, SHOWN = 10, 64, 5

# %% [markdown]
# Pixels are black or white here. The last column holds the digit.

# %%
digits = pc.datasets.digits(labels=True)
train, test = (torch.from_numpy(part).long() for part in (digits.train, digits.test))
x, label = (train[:, :PIXELS] > 7).float(), train[:, PIXELS]

# %% [markdown]
# `External.size` says how many logits the network must make. `Blockwise` evaluates its last layer
# for one layer of the circuit at a time, so that the weights of a batch are never all in memory.

# %%
torch.manual_seed(0)
circuit = pc.rat_spn(PIXELS, num_replicas=3, units=4, seed=0)
trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
network = pc.Blockwise(trunk, 32, pc.External.size(circuit))
embedding = nn.Embedding(CLASSES, 8)
model = pc.compile(circuit, pc.External(network), seed=0)

# %% [markdown]
# Training is an ordinary loop: the loss is -log p(picture | class), and gradients reach the
# network and the embeddings.

# %%
optimizer = torch.optim.Adam([*embedding.parameters(), *network.parameters()], lr=0.02)
for _ in track(range(150), "training"):
    rows = torch.randint(len(x), (50,))
    optimizer.zero_grad()
    loss = -model.log_likelihood(x[rows], context=embedding(label[rows]), check=False).mean()
    loss.backward()
    optimizer.step()

# %% [markdown]
# A single row of context makes one circuit for all rows of data, which runs in the usual kernels.

# %%
with torch.no_grad():
    every = embedding(torch.arange(CLASSES))
    seen = (test[:, :PIXELS] > 7).float()
    logs = [model.log_likelihood(seen, context=each) for each in every.split(1)]
    found = torch.stack(logs, 1).argmax(1)
accuracy = (found == test[:, PIXELS]).float().mean().item()
print(f"classified {accuracy:.1%} of {len(test)} test pictures correctly")

# %% [markdown]
# Several rows of context give each draw a circuit of its own.

# %%
drawn = model.sample(SHOWN * CLASSES, context=every.repeat(SHOWN, 1), seed=0)
image = drawn.view(SHOWN, CLASSES, 8, 8).transpose(1, 2).reshape(8 * SHOWN, 8 * CLASSES)
figure = Figure(figsize=(8, 4))
axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
axes.imshow(image.numpy(), cmap="gray_r")
axes.set_axis_off()
figure.savefig(OUT / "conditional_digits.png")
