"""Small data files, and ways to falsify their headers."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from pccompiler.testing.mutants import damage, flipped, mutated_text

Rng = np.random.Generator


@cache
def npy() -> list[bytes]:
    """Arrays of several types, orders and bytes."""
    found: list[bytes] = []
    columns = np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3))
    for array in (np.arange(6.0).reshape(3, 2), np.eye(3, dtype=np.uint8), columns):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, array)
        found.append(stream.getvalue())
    return found


def npy_mutant(content: bytes, rng: Rng) -> bytes:
    """Damage bytes, or the header's text, with the old length or a corrected one."""
    if rng.random() < 0.3:
        return damage(content, rng)
    size = int.from_bytes(content[8:10], "little")
    spaced = content[10 : 10 + size].replace(b"(", b"( ").replace(b",", b" , ")
    header = mutated_text(spaced, rng)
    version = int(rng.choice([1, 1, 1, 2, 3, 9]))
    length = len(header).to_bytes(4, "little")[: 2 if version == 1 else 4]
    return content[:6] + bytes([version, 0]) + length + header + content[10 + size :]


@cache
def npz() -> list[bytes]:
    """Archives with each ZIP compression method."""
    one, other = npy()[0], npy()[1]
    found: list[bytes] = []
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", kind) as archive:
            for name, content in (("train", one), ("valid", one), ("more", other)):
                archive.writestr(f"{name}.npy", content)
        found.append(stream.getvalue())
    return found


def npz_mutant(content: bytes, rng: Rng) -> bytes:
    """Damage bytes, or falsify the headers of members."""
    if rng.random() < 0.5:
        return damage(content, rng) if rng.random() < 0.3 else flipped(content, rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("train", "valid", "test")[: int(rng.integers(4))]:
            archive.writestr(f"{name}.npy", npy_mutant(npy()[int(rng.integers(3))], rng))
    return stream.getvalue()


def load_data(path: Path) -> object:
    """Read a file with ``datasets.load_file``."""
    from pccompiler.datasets import load_file

    return load_file(path)


def stream(path: Path) -> object:
    """Read a file like ``score``: as a mapped table, or two lines at a time."""
    from pccompiler.datasets.csv_table import numbers_of, read_lines
    from pccompiler.torch_backend.data.blocks import map_file

    if path.suffix == ".npy":
        return map_file(path)
    return [numbers_of(lines) for lines in read_lines(path, 2)]


def debd(path: Path) -> object:
    """Read a text like that of a named data set."""
    from pccompiler.datasets.stores import read_text

    return read_text(path)
