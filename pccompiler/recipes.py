"""The paper's training recipes, by data set.

Source:
    Shih, Sadigh and Ermon (2021), section 5, and further settings from the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass

from pccompiler.datasets import info
from pccompiler.ir import Hypernetwork

_LONG = {
    "kdd": 20_000,
    "plants": 20_000,
    "accidents": 20_000,
    "ad": 20_000,
    "msnbc": 80_000,
    "pumsb_star": 80_000,
}
_SMALL_BATCH = ("cr52", "c20ng", "bbc", "ad")
_LONG_AMAZON = ("carseats", "gifts", "moms", "safety")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The paper's settings for training one model on one data set.

    Attributes:
        hypernetwork: ``None`` for the SPN with weight decay.
        learning_rate: Learning rate of Adam.
        weight_decay: L2 penalty inside Adam.
        steps: Training steps.
        batch_size: Rows per step.
        evaluate_every: Steps between evaluations.
        num_replicas: Trees of the structure.
        units: Width of its sums.
    """

    hypernetwork: Hypernetwork | None
    learning_rate: float
    weight_decay: float
    steps: int
    batch_size: int
    evaluate_every: int
    num_replicas: int = 50
    units: int = 5


def paper(name: str, *, hypernetwork: bool = True) -> Recipe:
    """The recipe for data set ``name``; others than the paper's use that of the Twenty Datasets.

    Args:
        name: As in `pccompiler.datasets.info`.
        hypernetwork: Whether to train the HyperSPN, or the SPN with weight decay.

    Raises:
        DataError: If there is no such data set.
    """
    entry = info(name)
    amazon = entry.collection == "amazon"
    steps = _LONG.get(entry.name, 4000)
    if amazon:
        steps = 4000 if entry.name in _LONG_AMAZON else 1000
    width = 10 if amazon else 20
    return Recipe(
        hypernetwork=Hypernetwork(hidden=(20, width)) if hypernetwork else None,
        learning_rate=5e-3 if hypernetwork else 2e-2,
        weight_decay=0.0 if hypernetwork else 1e-3,
        steps=steps,
        batch_size=50 if entry.name in _SMALL_BATCH else 500,
        evaluate_every=20 if amazon else (1000 if steps > 4000 else 200),
    )
