"""A file's own SHA-256, kept in its metadata, so that damage does not pass for an answer.

The digest is over all bytes of the file, with zeros where its own 64 digits stand. No parser is
needed to check it, and nothing of the file is left out.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import Final

from pccompiler.errors import ExportError

KEY: Final = "pccompiler.digest"
_MARK: Final = "pccompiler-sha256:"
UNSIGNED: Final = _MARK + "0" * 64
"""The entry's value before `sign`."""
_VALUE: Final = re.compile(_MARK.encode() + rb"([0-9a-f]{64})")
_LOG: Final = logging.getLogger(__name__)


def sign(content: bytes) -> bytes:
    """The file with its digest in the place of `UNSIGNED`."""
    found = _VALUE.search(content)
    assert found is not None  # the exporter has written the entry
    return content[: found.start(1)] + _digest(content, found) + content[found.end(1) :]


def verify(content: bytes, path: Path) -> None:
    """Refuse a file that is not, byte for byte, the one that was exported.

    A file of an older version has no digest, which is logged. One bit of damage cannot make a file
    look like that: both the key and the mark of the value would have to be gone.

    Raises:
        ExportError: If the digest is wrong, or damaged itself.
    """
    found = _VALUE.search(content)
    if found is None and KEY.encode() not in content and _MARK.encode() not in content:
        _LOG.info("%s is of an older version and has no digest; it is read unverified", path)
    elif found is None or found[1] != _digest(content, found):
        raise ExportError.of(
            "PC615",
            f"{path} is not the file that was exported: its digest is another",
            help="it was changed or cut short; restore the file, or export the model again",
        )


def _digest(content: bytes, found: re.Match[bytes]) -> bytes:
    state = hashlib.sha256(memoryview(content)[: found.start(1)])
    state.update(b"0" * 64)
    state.update(memoryview(content)[found.end(1) :])
    return state.hexdigest().encode()
