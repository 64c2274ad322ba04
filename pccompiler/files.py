"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """A temporary path beside ``path``; it takes ``path``'s place if the block succeeds.

    Folders above are made. The temporary name keeps the ending, for writers that go by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.stem}-{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        yield staging
        os.replace(staging, target)
    finally:
        staging.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path``, on disk before it takes the old file's place."""
    with replacing(path) as staging, staging.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
