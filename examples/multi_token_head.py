# %% [markdown]
"""# A circuit as the multi-token head of a language model

A recurrent network reads words, and its state makes the weights of a circuit over the next four.
Independent words cannot say that they belong together; a mixture of rank 8 and a hidden Markov
model can. All are exact: likelihoods, draws, and the marginal of a word given those around it.
"""

# %%
from __future__ import annotations

import pydoc_data.topics
import re
from collections import Counter
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import track
from torch import Tensor, nn

import pccompiler as pc
from pccompiler.ir import categorical

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)
WORDS, AHEAD, SEEN, WIDTH, STEPS = 1024, 4, 12, 64, 60

# %% [markdown]
# The text is Python's own documentation of its keywords. The last number stands for all rare
# words.

# %%
text = re.findall(r"[a-z]+|[.,()]", " ".join(pydoc_data.topics.topics.values()).lower())
names = [word for word, _ in Counter(text).most_common(WORDS - 1)] + ["..."]
number = {word: place for place, word in enumerate(names)}
words = torch.tensor([number.get(word, WORDS - 1) for word in text])
cut = int(0.9 * len(words))


def windows(start: Tensor) -> tuple[Tensor, Tensor]:
    """Words before, and words ahead."""
    both = words[start[:, None] + torch.arange(SEEN + AHEAD)]
    return both[:, :SEEN], both[:, SEEN:].float()


# %%
class Reader(nn.Module):
    """The state of a recurrent network after some words, shape (rows, width)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.cell = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, seen: Tensor) -> Tensor:
        """Reads word numbers, shape (rows, words)."""
        state: Tensor = self.cell(self.embedding(seen))[1][0]
        return state


# %%
ahead = [categorical(f"word{i}", WORDS) for i in range(AHEAD)]
heads = {
    "independent": pc.naive_bayes_mixture(ahead, 1),
    "mixture": pc.naive_bayes_mixture(ahead, 8),
    "HMM": pc.hmm(ahead, 8, homogeneous=False),
}
losses: list[float] = []
models: dict[str, pc.ConditionalCircuit] = {}
before, true = windows(torch.arange(cut, cut + 2000, 10))
for name, circuit in heads.items():
    torch.manual_seed(0)
    network = pc.Blockwise(Reader(), WIDTH, pc.External.size(circuit))
    model = models[name] = pc.compile(circuit, pc.External(network), seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in track(range(STEPS), name):
        seen, follows = windows(torch.randint(cut - SEEN - AHEAD, (32,)))
        optimizer.zero_grad()
        (-model.log_likelihood(follows, context=seen, check=False).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        losses.append(-model.log_likelihood(true, context=before).mean().item() / AHEAD)
    print(f"{name}: {losses[-1]:.3f} nats per word that was not seen in training")

# %% [markdown]
# Draws of the next words, and the word that is most probable in a gap:

# %%
drawn = models["HMM"].sample(3, context=before[:3], seed=0).long()
gap = true[:3].index_fill(1, torch.tensor([1]), torch.nan)
second = models["HMM"].posterior_marginals(gap, variables=["word1"], context=before[:3])
for row, best in enumerate(second.states[:, 0].argmax(1).tolist()):
    read, written = (" ".join(names[int(w)] for w in part[row]) for part in (before, drawn))
    print(f"{read} -> {written}; in the gap: {names[best]}")
figure = Figure(figsize=(6, 2.5), layout="constrained")
figure.add_subplot(xlabel="nats per word").barh(list(heads), losses)
figure.savefig(OUT / "multi_token_head.png")
