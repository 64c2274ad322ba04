"""Names that are valid in the text form."""

import re

_NAME = re.compile(r"[A-Za-z0-9_.\-\[\]]+")
ALPHABET = "letters, digits, '_', '.', '-', '[' and ']'"


def is_name(text: str) -> bool:
    """Whether ``text`` can stand after ``%`` or ``@``, or name a variable."""
    return _NAME.fullmatch(text) is not None
