from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pccompiler.datasets import Dataset, hand_designed
from pccompiler.datasets.digests import DIGESTS, digest
from pccompiler.errors import DataError

Golden = Callable[[str], None]


def whole(dataset: Dataset) -> np.ndarray:
    return np.concatenate([dataset.train, dataset.valid, dataset.test])


def by_the_definition(seed: int, num_rows: int, num_variables: int) -> np.ndarray:
    """The recipe of Table 3, row by row and node by node, with the authors' order of draws."""
    stream = np.random.RandomState(seed)
    depth = num_variables.bit_length() - 1
    values = np.empty((num_rows, num_variables))
    for row in range(num_rows):
        nodes = [0.5]
        for _ in range(depth):
            noise = stream.uniform(-0.2, 0.2, num_variables)
            nodes = [nodes[i // 2] + noise[i] for i in range(2 * len(nodes))]
        values[row] = nodes
    x = (stream.random_sample((num_rows, num_variables)) > values).astype(np.uint8)
    stream.shuffle(x)
    return x


@pytest.mark.parametrize(
    ("seed", "num_rows", "num_variables"), [(0, 10, 2), (1, 37, 8), (2, 1203, 4), (3, 20, 256)]
)
def test_equals_the_definition(seed: int, num_rows: int, num_variables: int) -> None:
    found = hand_designed(seed, num_rows, num_variables)
    np.testing.assert_array_equal(whole(found), by_the_definition(seed, num_rows, num_variables))


def test_equals_the_authors_file() -> None:
    """The last row of each part, as in github.com/ermongroup/HyperSPN, datasets/toy/toy."""
    found = hand_designed()
    assert found.train.shape == (7000, 256)
    assert found.valid.shape == (1000, 256)
    assert found.test.shape == (2000, 256)
    last = [
        np.packbits(part[-1]).tobytes().hex() for part in (found.train, found.valid, found.test)
    ]
    assert last == [
        "dff97cdd26cf480b0742d028011f8209ff99fefffbcfefff14c1354459a43f5d",
        "04758affbf77f7dc46886ffdfffffd1660a242fb2808043ca2902287320083f5",
        "6543f71ef73c19fb349210ffff385621bffd4ffffe5feffdffb7fffdfe5fad4d",
    ]
    assert digest(found) == DIGESTS["hand-designed"]


def test_near_variables_agree_more() -> None:
    x = whole(hand_designed(seed=1)).astype(np.float64)
    # 10,000 rows, so a mean is off by 0.005 (one standard error); 0.025 is five of them.
    np.testing.assert_allclose(x.mean(axis=0), 0.5, atol=0.025)
    covariance = np.cov(x, rowvar=False, bias=True)
    by_lag = [np.mean([covariance[i, i ^ lag] for i in range(256)]) for lag in (1, 16, 64, 128)]
    assert by_lag[0] > by_lag[1] > by_lag[2] > 0.01 > abs(by_lag[3])  # the last share no noise


def test_seeds_differ() -> None:
    assert digest(hand_designed(0, 20, 8)) != digest(hand_designed(1, 20, 8))


def test_errors(golden: Golden) -> None:
    texts: list[str] = []
    for num_rows, num_variables in ((100, 100), (100, 1), (100, -2), (5, 16), (0, 16)):
        with pytest.raises(DataError) as caught:
            hand_designed(num_rows=num_rows, num_variables=num_variables)
        texts.append(str(caught.value))
    golden("\n".join(texts))
