"""Data sets that are generated, not stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pccompiler.datasets.records import Dataset, states
from pccompiler.datasets.splitting import cut
from pccompiler.errors import DataError
from pccompiler.options import MOST, whole

_ROWS_AT_ONCE = 500  # bounds the noise in memory: 8 MB for 256 variables


def hand_designed(seed: int = 0, num_rows: int = 10_000, num_variables: int = 256) -> Dataset:
    """The paper's hand-designed distribution: binary variables at the leaves of a binary tree.

    For each row the root is 0.5, and each child has its parent's value plus independent noise from
    uniform(-0.2, 0.2). Variable ``i`` is 1 if a uniform draw exceeds the value of leaf ``i``. Rows
    are shuffled and split 70/10/20.

    The defaults reproduce the authors' published file, bit for bit: draws are made in the order of
    their generator, from NumPy's legacy stream, which NEP 19 froze.

    Args:
        seed: Seed of the draws and of the shuffle.
        num_rows: Total number of rows in all three parts, at least 10.
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
            help="the variables are the leaves of a full binary tree; the paper uses 256",
        )
    stream = np.random.RandomState(seed)
    starts = range(0, num_rows, _ROWS_AT_ONCE)
    blocks = [min(_ROWS_AT_ONCE, num_rows - start) for start in starts]
    leaves = [_leaf_values(stream, rows, num_variables) for rows in blocks]
    values = np.concatenate([np.empty((0, num_variables)), *leaves])
    x = (stream.random_sample(values.shape) > values).astype(np.uint8)
    stream.shuffle(x)
    return replace(cut(x, "hand-designed"), declared=states(2, num_variables))


def _leaf_values(
    stream: np.random.RandomState, num_rows: int, num_variables: int
) -> NDArray[np.float64]:
    depth = num_variables.bit_length() - 1
    # The authors draw a full row of noise at each level; level d uses the first 2**d numbers.
    noise = stream.uniform(-0.2, 0.2, size=(num_rows, depth, num_variables))
    values = np.full((num_rows, 1), 0.5)
    for level in range(depth):
        values = np.repeat(values, 2, axis=1) + noise[:, level, : 2 << level]
    return values
