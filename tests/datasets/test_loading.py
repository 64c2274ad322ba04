from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pccompiler.datasets import Dataset, digits, info, load, loading
from pccompiler.datasets.digests import DIGESTS, digest
from pccompiler.datasets.records import SPLITS
from pccompiler.errors import DataError

Golden = Callable[[str], None]
Scrub = Callable[[DataError, Path], str]


def write_npz(dataset: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, train=dataset.train, valid=dataset.valid, test=dataset.test)


def write_texts(dataset: Dataset, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    for part in SPLITS:
        path = stem.with_name(f"{stem.name}.{part}.data")
        np.savetxt(path, getattr(dataset, part), fmt="%i", delimiter=",")


def same(a: Dataset, b: Dataset) -> bool:
    return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in SPLITS)


@pytest.mark.parametrize("path", ["amazon/pottytrain.npz", "pottytrain.npz"])
def test_archives(tiny: Dataset, isolated: Path, path: str) -> None:
    write_npz(tiny, isolated / "data" / path)
    found = load("amazon/Pottytrain", data_dir=str(isolated / "data"))
    assert same(found, tiny)
    assert found.name == "pottytrain"
    assert found.train.dtype == np.uint8


@pytest.mark.parametrize(
    "stem",
    [
        "pottytrain/pottytrain",
        "datasets/pottytrain/pottytrain",
        "amzn_pottytrain/amzn_pottytrain",
        "datasets/amzn/amzn_pottytrain/amzn_pottytrain",
    ],
)
def test_texts(tiny: Dataset, isolated: Path, stem: str) -> None:
    write_texts(tiny, isolated / "data" / stem)
    found = load("pottytrain", data_dir=isolated / "data")
    assert same(found, tiny)
    assert found.train.flags.c_contiguous
    assert found.train.dtype == np.uint8


def test_archives_of_other_integers(tiny: Dataset, isolated: Path) -> None:
    np.savez(
        isolated / "pottytrain.npz",
        train=tiny.train.astype(bool),
        valid=tiny.valid.astype(np.int64),
        test=np.asfortranarray(tiny.test),
    )
    found = load("pottytrain", isolated)
    assert same(found, tiny)
    assert {getattr(found, part).dtype for part in SPLITS} == {np.dtype(np.uint8)}
    assert found.test.flags.c_contiguous


def test_search_order(tiny: Dataset, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder wins over those after it: a broken file in it is noticed."""
    (isolated / "checkout").mkdir()
    (isolated / "checkout" / "pyproject.toml").touch()
    (isolated / "env").mkdir()
    monkeypatch.setenv("PCCOMPILER_DATA", str(isolated / "env"))
    write_npz(tiny, isolated / "cache" / "pccompiler" / "amazon" / "pottytrain.npz")
    assert same(load("pottytrain", download=False), tiny)
    for folder in ("shared/data", "env"):
        broken = isolated / folder / "pottytrain.npz"
        broken.parent.mkdir(parents=True, exist_ok=True)
        broken.touch()
        with pytest.raises(DataError) as caught:
            load("pottytrain", download=False)
        assert str(broken) in str(caught.value)


def test_shared_data_only_beside_a_checkout(tiny: Dataset, isolated: Path) -> None:
    write_npz(tiny, isolated / "shared" / "data" / "pottytrain.npz")
    with pytest.raises(DataError, match=r"error\[PC411\]"):
        load("pottytrain", download=False)


def test_data_dir_is_searched_alone(tiny: Dataset, isolated: Path) -> None:
    write_npz(tiny, isolated / "cache" / "pccompiler" / "amazon" / "pottytrain.npz")
    (isolated / "data").mkdir()
    with pytest.raises(DataError, match=r"error\[PC411\]"):
        load("pottytrain", data_dir=isolated / "data")


def test_hand_designed_needs_no_file(isolated: Path) -> None:
    assert load("hand-designed").train.shape == (7000, 256)


def test_digits_come_with_the_package(isolated: Path) -> None:
    found, with_labels = load("digits", download=False), digits(labels=True)
    assert found.train.shape == (1000, 64)
    assert [int(found.train.min()), int(found.train.max())] == [0, 16]
    for part in SPLITS:
        table = getattr(with_labels, part)
        assert np.array_equal(table[:, :64], getattr(found, part))
        assert set(table[:, 64].tolist()) == set(range(10))


def test_domains_come_from_the_catalogue() -> None:
    found, with_labels = load("digits"), digits(labels=True)
    assert found.image_shape == (1, 8, 8)
    assert int(found.train[:, 0].max()) < 16  # the corner is dark in all of these
    assert [v.cardinality for v in found.variables] == [17] * 64
    assert [v.cardinality for v in with_labels.variables] == [17] * 64 + [10]
    assert {v.domain for v in load("hand-designed").variables} == {"binary"}


def test_images_by_name(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last training rows are for validation where the file has none, as for MNIST."""
    monkeypatch.setattr(loading, "info", lambda name: replace(info(name), num_train=3, num_valid=2))
    pixels = np.arange(5 * 784, dtype=np.uint8).reshape(5, 28, 28)
    (isolated / "images").mkdir()
    np.savez(isolated / "images" / "mnist.npz", train=pixels, test=pixels[:1])
    rows = pixels.reshape(5, 784)
    expected = Dataset("mnist", rows[:3], rows[3:], rows[:1])
    monkeypatch.setitem(DIGESTS, "mnist", digest(expected))
    found = load("mnist", isolated)
    assert np.array_equal(found.valid.reshape(-1, *found.image_shape or ())[:, 0], pixels[3:])
    assert {v.cardinality for v in found.variables} == {256}


def test_images_are_not_downloaded(isolated: Path) -> None:
    with pytest.raises(DataError, match="help: put it at one of these paths") as caught:
        load("mnist")
    assert "download" not in str(caught.value).split("help: ")[1]


def test_digits_are_those_of_scikit_learn() -> None:
    """The same pictures under the same labels, in another order."""
    pictures, labels = load_digits(return_X_y=True)
    table = digits(labels=True)
    ours = np.concatenate([table.train, table.valid, table.test])
    theirs = np.column_stack([pictures, labels])
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


def test_digest_sees_shape_and_order(tiny: Dataset) -> None:
    others = [
        Dataset("x", tiny.train.reshape(-1, 1), tiny.valid, tiny.test),
        Dataset("x", tiny.train, tiny.test, tiny.valid),
        Dataset("x", tiny.train[::-1], tiny.valid, tiny.test),
        Dataset("x", 1 - tiny.train, tiny.valid, tiny.test),
    ]
    digests = {digest(dataset) for dataset in (tiny, *others)}
    assert len(digests) == 5
    assert digest(Dataset("y", tiny.train, tiny.valid, tiny.test)) in digests


def test_errors(
    tiny: Dataset, isolated: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden, scrubbed: Scrub
) -> None:
    texts: list[str] = []

    def fails(data_dir: Path | None) -> None:
        with pytest.raises(DataError) as caught:
            load("pottytrain", data_dir=data_dir, download=False)
        texts.append(scrubbed(caught.value, isolated))

    folder = isolated / "data"
    fails(folder)
    folder.mkdir()
    fails(folder)
    fails(None)
    monkeypatch.setenv("PCCOMPILER_DATA", str(isolated / "absent"))
    fails(None)
    write_texts(tiny, folder / "pottytrain" / "pottytrain")
    (folder / "pottytrain" / "pottytrain.valid.data").write_text("<html>404</html>\n")
    fails(folder)
    (folder / "pottytrain" / "pottytrain.valid.data").write_text("")
    fails(folder)
    (folder / "pottytrain" / "pottytrain.valid.data").unlink()
    fails(folder)
    np.savez(folder / "pottytrain.npz", train=tiny.train)
    fails(folder)
    golden("\n".join(texts))


def test_corrupt(tiny: Dataset, isolated: Path, golden: Golden, scrubbed: Scrub) -> None:
    texts: list[str] = []
    flipped = tiny.train.copy()
    flipped[0, 0] ^= 1
    for train in (flipped, tiny.train[1:]):
        write_npz(Dataset("x", train, tiny.valid, tiny.test), isolated / "pottytrain.npz")
        with pytest.raises(DataError) as caught:
            load("pottytrain", isolated)
        texts.append(scrubbed(caught.value, isolated))
    golden("\n".join(texts))
