"""Damaged and hostile content, for testing readers: bytes, and texts of words and lines."""

from __future__ import annotations

import numpy as np

PAGE = 4096


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """What disks and transfers do: a few flipped bits, a lost end, a page of zeros."""
    kind = int(rng.integers(3))
    if kind == 0 or len(content) < 2:
        return flipped(content, rng)
    if kind == 1:
        return content[: int(rng.integers(len(content)))]
    start = int(rng.integers(len(content)))
    stop = min(start + int(rng.integers(1, PAGE + 1)), len(content))
    return content[:start] + bytes(stop - start) + content[stop:]


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four bits turned over."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 5)) if found else 0):
        found[int(rng.integers(len(found)))] ^= 1 << int(rng.integers(8))
    return bytes(found)
