"""The SHA-256 of a file in its own metadata, so that damage cannot go unnoticed.

The digest covers all bytes of the file, with zeros in place of its own 64 digits. Checking it needs
no parser, and no part of the file is left out.
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
    """The file with `UNSIGNED` replaced by its digest."""
    found = _VALUE.search(content)
    assert found is not None  # the exporter has written the entry
    return content[: found.start(1)] + _digest(content, found) + content[found.end(1) :]


def verify(content: bytes, path: Path) -> None:
    """Refuse a file that is not byte-identical to the one that was exported.

    A file of an older version has no digest, which is logged. A single flipped bit cannot make a
    file look old: both the key and the marker of the value would have to be missing.

    Raises:
        ExportError: If the digest does not match, or is damaged itself.
    """
    found = _VALUE.search(content)
    if found is None and KEY.encode() not in content and _MARK.encode() not in content:
        _LOG.info("%s is of an older version and has no digest; it is read unverified", path)
    elif found is None or found[1] != _digest(content, found):
        raise ExportError.of(
            "PC615",
            f"{path} is not the file that was exported: its digest differs",
            help="it was changed or truncated; restore the file, or export the model again",
        )


def _digest(content: bytes, found: re.Match[bytes]) -> bytes:
    state = hashlib.sha256(memoryview(content)[: found.start(1)])
    state.update(b"0" * 64)
    state.update(memoryview(content)[found.end(1) :])
    return state.hexdigest().encode()
