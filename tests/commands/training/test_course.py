"""``pccompiler train``: by EM, by gradient, and weights that suit the structure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pccompiler as pc

Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]
Train = Callable[..., tuple[int, str, str]]


@pytest.fixture
def train(run: Run, tmp_path: Path) -> Train:
    """Train on 200 rows of four dependent binary variables."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, (200, 1))
    rows = np.where(rng.random((200, 4)) < 0.1, 1 - first, first)
    table = tmp_path / "rows.csv"
    np.savetxt(table, rows, "%d", delimiter=",")
    common = ("train", "--data", table, "--out", tmp_path / "m", "--device", "cpu")
    return lambda *words: run(*common, *words)


def test_em_is_the_function(train: Train, tmp_path: Path) -> None:
    code, printed, err = train(
        "--em", "--structure", "hclt{units=2}", "--steps", "4", "--step-size", "0.5",
        "--batch-size", "70", "--pseudocount", "0.3", "--seed", "3",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "trained 4 iterations of EM" in printed
    found = pc.load(tmp_path / "m")
    content = pc.datasets.load_file(tmp_path / "rows.csv")
    assert isinstance(content, pc.datasets.Table)
    rows = pc.datasets.split(content.values, seed=0)
    names = [pc.binary(f"x{i}") for i in range(4)]
    again = pc.compile(pc.hclt(rows.train, 2, variables=names), seed=3, device="cpu")
    pc.fit_em(
        again, rows.train, rows.valid,
        iterations=4, batch_size=70, step_size=0.5, pseudocount=0.3, seed=3,
    )  # fmt: skip
    world = [[1, 0, 1, 1]]
    assert found.log_likelihood(world).item() == again.log_likelihood(world).item()


@pytest.mark.parametrize(
    ("words", "generator"),
    [
        ((), pc.Hypernetwork),
        (("--weights", "direct"), pc.Direct),
        (("--em",), pc.Direct),
        (("--structure", "chow-liu"), pc.Direct),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_weights_suit_the_training(
    train: Train, tmp_path: Path, words: tuple[str, ...], generator: type
) -> None:
    assert train(*words, "--steps", "2")[0] == 0
    assert isinstance(pc.load(tmp_path / "m").circuit.generator, generator)


def test_options_of_the_other_way_are_refused(train: Train, golden: Golden, tmp_path: Path) -> None:
    messages: list[str] = []
    for words in (
        ("--em", "--learning-rate", "0.1"),
        ("--em", "--weight-decay", "0.1"),
        ("--em", "--evaluate-every", "3"),
        ("--step-size", "0.5"),
        ("--pseudocount", "1"),
        ("--em", "--weights", "hypernetwork", "--steps", "2"),
        ("--structure", "hmm", "--replicas", "2"),
        ("--structure", "chow-liu", "--weights", "hypernetwork", "--steps", "2"),
    ):
        code, _, err = train(*words)
        assert code == 1, words
        messages.append(f"$ {' '.join(words)}\n{err}")
    assert not (tmp_path / "m").exists()
    golden("".join(messages))
