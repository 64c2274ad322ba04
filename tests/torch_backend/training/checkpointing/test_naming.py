"""Names of losses that are the same in each process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import CheckpointError
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.training.checkpointing.naming import lasting_name


def decayed(model: CompiledCircuit, rows: Tensor, decay: float) -> Tensor:
    squares = torch.stack([p.square().sum() for p in model.parameters()])
    return -model.log_likelihood(rows) + decay * squares.sum()


class Decayed:
    def __call__(self, model: CompiledCircuit, rows: Tensor) -> Tensor:
        return decayed(model, rows, 0.1)

    def method(self, model: CompiledCircuit, rows: Tensor) -> Tensor:
        return decayed(model, rows, 0.1)


class Other(Decayed):
    pass


def made(source: str) -> Any:
    """A new object, as in another process."""
    return eval(source, globals())


SOURCES = [
    "decayed",
    "partial(decayed, decay=0.1)",
    "partial(decayed, decay=0.2)",
    "partial(partial(decayed, decay=0.2), decay=Decayed())",
    "partial(lambda m, r, d: -m(r) + d, d=1.0)",
    "partial(lambda m, r, d: -m(r) - d, d=1.0)",
    "Decayed()",
    "Other()",
    "Decayed",
    "Decayed().method",
    "Other().method",
    "lambda m, r: -m(r)",
    "lambda m, r: m(r)",
    "lambda m, r: -m(r) * 2.0",
    "lambda m, r: -m(r) * 3.0",
    "lambda m, r: -m.log_likelihood(r)",
    "lambda m, r: -m.log_density(r)",
    "lambda m, r: -sum(m(x) for x in r)",
    "lambda m, r: -sum(m(x) * 2 for x in r)",
    "lambda m, r: -m(r) if m.precision in {'a', 'b', 'c'} else m(r)",
    "pc.losses.hybrid('x1', 0.5)",
    "pc.losses.hybrid('x1', 0.6)",
]


@pytest.mark.cpu
def test_names_last_and_tell_apart() -> None:
    names = [lasting_name(made(source)) for source in SOURCES]
    assert names == [lasting_name(made(source)) for source in SOURCES]
    assert len(set(names)) == len(names)
    assert not [name for name in names if "0x" in name]


@pytest.mark.cpu
def test_names_are_readable() -> None:
    assert lasting_name(Decayed()) == f"{__name__}.Decayed"
    assert lasting_name(pc.losses.hybrid("a")) == "HybridLoss(variable='a', share=0.5)"
    name = lasting_name(partial(decayed, decay=0.1))
    assert name.startswith(f"partial({__name__}.decayed (code ")
    assert name.endswith("), decay=0.1)")


@pytest.mark.parametrize("make", [Decayed, lambda: partial(decayed, decay=0.1)])
def test_a_training_goes_on_with_the_same_loss_only(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    x = np.random.default_rng(0).integers(0, 2, (30, 4))

    def run(steps: int, loss: Any) -> pc.History:
        return pc.fit(
            pc.compile(pc.rat_spn(4, 2, 2)), x, loss=loss, steps=steps, batch_size=10,
            checkpoint=tmp_path / "c", progress=False,
        )  # fmt: skip

    kept = make()  # so that the next one has another address
    run(2, kept)
    assert run(4, make()).resumed_at == 2
    with pytest.raises(CheckpointError, match="loss was"):
        run(6, partial(decayed, decay=0.2))
