"""Small files of data, and how their headers lie."""

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
    """Bytes damaged, or the header's text, at its old length or with its length mended."""
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
    """Archives, packed in each way that ZIP has."""
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
    """Bytes damaged, or members whose headers lie."""
    if rng.random() < 0.5:
        return damage(content, rng) if rng.random() < 0.3 else flipped(content, rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("train", "valid", "test")[: int(rng.integers(4))]:
            archive.writestr(f"{name}.npy", npy_mutant(npy()[int(rng.integers(3))], rng))
    return stream.getvalue()


def load_data(path: Path) -> object:
    """As ``datasets.load_file`` reads a file."""
    from pccompiler.datasets import load_file

    return load_file(path)


def stream(path: Path) -> object:
    """As ``score`` reads a file: a table mapped, or lines two at a time."""
    from pccompiler.datasets.csv_table import csv_blocks
    from pccompiler.torch_backend.data.blocks import map_file

    return map_file(path) if path.suffix == ".npy" else list(csv_blocks(path, 2))


def debd(path: Path) -> object:
    """As named data sets are read from text."""
    from pccompiler.datasets.stores import read_text

    return read_text(path)
