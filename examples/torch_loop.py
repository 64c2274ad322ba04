# %% [markdown]
"""# A training loop of your own

A compiled circuit is a torch module. It goes into the loop that you have: any optimizer, scheduler
and data loader, and any other loss. This one trains on pictures with holes, drawn anew each epoch.
"""

# %%
from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.utils.data import DataLoader, TensorDataset

import pccompiler as pc

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)

# %%
digits = pc.datasets.load("digits")
rows = TensorDataset(torch.from_numpy(digits.train).float())
loader = DataLoader(rows, batch_size=100, shuffle=True, generator=torch.Generator().manual_seed(0))
pixels = [pc.categorical(f"pixel{i}", 17) for i in range(64)]
model = pc.compile(pc.rat_spn(pixels, num_replicas=4, units=5, seed=0), pc.Hypernetwork(), seed=0)

# %% [markdown]
# The loss is the negative mean log-likelihood. NaN is a missing pixel, which is integrated out, so
# holes are one line.

# %%
EPOCHS = 8
optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=EPOCHS * len(loader))
draw = torch.Generator().manual_seed(0)
losses: list[float] = []
for epoch in range(EPOCHS):
    model.train()
    for (x,) in loader:
        holes = torch.rand(x.shape, generator=draw) < 0.2
        loss = -model(x.masked_fill(holes, torch.nan)).mean() / 0.8
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        valid = model.log_likelihood(digits.valid).mean().item()
    print(f"epoch {epoch + 1}: validation {valid:.1f} nats")

# %% [markdown]
# The parameters are an ordinary `state_dict`.

# %%
torch.save(model.state_dict(), OUT / "torch_loop.pt")
twin = pc.compile(model.circuit, seed=1)
twin.load_state_dict(torch.load(OUT / "torch_loop.pt"))
assert twin.log_likelihood(digits.test).equal(model.log_likelihood(digits.test))

# %%
figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots()
axes.plot(losses)
axes.set(xlabel="step", ylabel="loss (nats a picture)")
axes.grid(alpha=0.3)
figure.savefig(OUT / "torch_loop.png", dpi=80)
