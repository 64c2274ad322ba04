"""The stored data sets themselves; skipped if they are not available."""

from __future__ import annotations

import numpy as np
import pytest

from pccompiler.datasets import Dataset, info, load, names
from pccompiler.datasets.catalogue import COLLECTIONS
from pccompiler.datasets.digests import DIGESTS
from pccompiler.datasets.download import ORIGINS
from pccompiler.errors import DataError

STORED = [name for name in names() if info(name).collection in ORIGINS]


def at_hand(name: str) -> Dataset:
    try:
        return load(name, download=False)
    except DataError as error:
        if error.diagnostics[0].code != "PC411":
            raise
        pytest.skip(f"{name} is not on this machine")


def test_there_are_twenty_seventeen_and_five() -> None:
    counts = {collection: len(names(collection)) for collection in COLLECTIONS}
    assert counts == {
        "twenty": 20,
        "amazon": 17,
        "extra": 5,
        "images": 2,
        "bundled": 1,
        "generated": 1,
    }
    assert set(DIGESTS) == set(names())
    assert len(set(DIGESTS.values())) == len(DIGESTS)


@pytest.mark.parametrize("name", STORED)
def test_has_the_published_shapes_and_entries(name: str) -> None:
    dataset = at_hand(name)  # this also checks the SHA-256
    for part, shape in info(name).shapes.items():
        array = getattr(dataset, part)
        assert array.shape == shape
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.max() == 1
    assert dataset.name == name
    assert dataset.num_variables == info(name).num_variables
