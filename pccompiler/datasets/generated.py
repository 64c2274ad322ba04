"""Data sets that are made, not stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.datasets.records import Dataset
from pccompiler.datasets.splitting import cut
from pccompiler.errors import DataError
from pccompiler.options import MOST, whole

_ROWS_AT_ONCE = 500  # bounds the noise in memory: 8 MB for 256 variables


def hand_designed(seed: int = 0, num_rows: int = 10_000, num_variables: int = 256) -> Dataset:
    """The paper's hand-designed distribution: binary variables at the leaves of a binary tree.

    For each row the root is 0.5; each node's value is copied to its two children, each plus an
    independent uniform(-0.2, 0.2); variable ``i`` is 1 where a uniform draw exceeds leaf ``i``'s
    value. Rows are shuffled and cut 70/10/20.

    The defaults give the rows of the authors' published file, bit for bit: the draws come in the
    order of their generator, from NumPy's legacy stream, which NEP 19 froze.

    Args:
        seed: Of the draws and of the shuffle.
        num_rows: In all three parts together, at least 10.
        num_variables: A power of two, at least 2.

    Raises:
        DataError: If a size cannot be used.

    Source:
        Shih, Sadigh and Ermon (2021), "HyperSPNs", Table 3.
    """
    seed, num_rows = whole("seed", seed, 0, 2**32 - 1), whole("num_rows", num_rows, 0)
    num_variables = whole("num_variables", num_variables, -MOST)
    if num_variables < 2 or num_variables.bit_count() != 1:
        raise DataError.of(
            "PC421",
            f"num_variables is {num_variables}, not a power of two above 1",
            help="the variables are the leaves of a full binary tree; use 256, as the paper does",
        )
    stream = np.random.RandomState(seed)
    starts = range(0, num_rows, _ROWS_AT_ONCE)
    blocks = [min(_ROWS_AT_ONCE, num_rows - start) for start in starts]
    leaves = [_leaf_values(stream, rows, num_variables) for rows in blocks]
    values = np.concatenate([np.empty((0, num_variables)), *leaves])
    x = (stream.random_sample(values.shape) > values).astype(np.uint8)
    stream.shuffle(x)
    return cut(x, "hand-designed")


def _leaf_values(
    stream: np.random.RandomState, num_rows: int, num_variables: int
) -> NDArray[np.float64]:
    depth = num_variables.bit_length() - 1
    # The authors draw a full row of noise at each level, of which level d uses the first 2**d.
    noise = stream.uniform(-0.2, 0.2, size=(num_rows, depth, num_variables))
    values = np.full((num_rows, 1), 0.5)
    for level in range(depth):
        values = np.repeat(values, 2, axis=1) + noise[:, level, : 2 << level]
    return values
