"""Numbers that Python and kernels share, defined once."""

from __future__ import annotations

from enum import IntEnum


def macros(*enums: type[IntEnum]) -> tuple[tuple[str, int], ...]:
    """Macros for the members of enums: ``Child.LEAF`` becomes ``CHILD_LEAF``."""
    return tuple(
        (f"{enum.__name__.upper()}_{member.name}", int(member)) for enum in enums for member in enum
    )
