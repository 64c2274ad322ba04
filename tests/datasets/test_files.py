from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.datasets import Dataset, Splits, Table, load_file
from pccompiler.errors import DataError

Golden = Callable[[str], None]
Scrub = Callable[[DataError, Path], str]


def test_all_parts_make_a_dataset(tmp_path: Path) -> None:
    path = tmp_path / "garden.npz"
    np.savez(path, train=np.eye(4), valid=np.eye(4)[:1], test=np.eye(4)[1:], more=np.array("x"))
    found = load_file(str(path))
    assert isinstance(found, Dataset)
    assert (found.name, found.num_variables) == ("garden", 4)
    assert found.test.shape == (3, 4)


def test_absent_parts_are_none(tmp_path: Path) -> None:
    path = tmp_path / "garden.npz"
    np.savez(path, train=np.eye(2), test=np.eye(2))
    found = load_file(path)
    assert isinstance(found, Splits)
    assert not isinstance(found, Dataset)
    assert found.valid is None
    assert found.test is not None


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.eye(2, dtype=bool), np.uint8),
        (np.array([[0, 255]]), np.uint8),
        (np.array([[0, 256]]), np.float64),
        (np.array([[-1, 0]], dtype=np.int8), np.float64),
        (np.array([[0.5, np.nan]], dtype=np.float32), np.float64),
        (np.asfortranarray(np.eye(3)), np.float64),
        (np.empty((0, 3), dtype=np.int32), np.uint8),
    ],
)
def test_entries_lose_nothing(tmp_path: Path, array: np.ndarray, dtype: type) -> None:
    np.savez(tmp_path / "x.npz", train=array)
    found = load_file(tmp_path / "x.npz")
    assert isinstance(found, Splits)
    assert found.train.dtype == dtype
    assert found.train.flags.c_contiguous
    np.testing.assert_array_equal(found.train, array)


def test_suffix_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "X.CSV").write_text("1,0\n")
    assert isinstance(load_file(tmp_path / "X.CSV"), Table)


def test_errors(tmp_path: Path, golden: Golden, scrubbed: Scrub) -> None:
    texts: list[str] = []

    def fails(name: str) -> None:
        with pytest.raises(DataError) as caught:
            load_file(tmp_path / name)
        texts.append(scrubbed(caught.value, tmp_path))

    fails("absent.npz")
    (tmp_path / "x.parquet").touch()
    fails("x.parquet")
    (tmp_path / "x.npz").touch()
    fails("x.npz")
    np.savez(tmp_path / "x.npz", data=np.eye(2), labels=np.eye(2))
    fails("x.npz")
    np.savez(tmp_path / "x.npz", train=np.zeros((5, 3, 8, 8)))
    fails("x.npz")
    np.savez(tmp_path / "x.npz", train=np.array([["wet"]]))
    fails("x.npz")
    np.savez(tmp_path / "x.npz", train=np.eye(2), valid=np.eye(3))
    fails("x.npz")
    np.savez(tmp_path / "x.npz", train=np.array([[None]]))
    fails("x.npz")
    golden("\n".join(texts))


def test_damaged_archives(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", train=np.random.default_rng(0).random((50, 5)))
    whole = (tmp_path / "x.npz").read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:-30], whole[:50], whole[:middle] + b"\0" * 20 + whole[middle + 20 :]):
        (tmp_path / "x.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"error\[PC414\]"):
            load_file(tmp_path / "x.npz")


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.eye(2))
    with pytest.raises(DataError, match=r"error\[PC414\]"):
        load_file(tmp_path / "x.npz")


def test_domains_are_those_of_all_parts(tmp_path: Path) -> None:
    """A state that only validation rows have is one all the same."""
    path = tmp_path / "x.npz"
    np.savez(path, train=[[0, 1], [3, 0]], valid=[[4, 1]], test=[[0, 0]])
    found = load_file(path)
    assert isinstance(found, Dataset)
    assert [str(v) for v in found.variables] == [
        "categorical with 5 states",
        "binary with 2 states",
    ]
    model = pc.compile(pc.structures.learn_spn(found.train, found.variables))
    assert np.isfinite(model.log_likelihood(found.valid).tolist()).all()


def test_images(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(tmp_path / "x.npz", train=images, test=images[:0])
    found = load_file(tmp_path / "x.npz")
    assert isinstance(found, Splits)
    assert found.image_shape == (1, 3, 4)
    assert np.array_equal(found.train, images.reshape(2, 12))
    np.savez(tmp_path / "x.npz", train=images, test=images[:, :, :2])
    with pytest.raises(DataError, match="PC414"):
        load_file(tmp_path / "x.npz")
