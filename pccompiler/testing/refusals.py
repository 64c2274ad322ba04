"""Messages of calls that must be refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pccompiler.errors import PCCompilerError


def refusals(
    attempts: Iterable[Callable[[], object]],
    kind: type[PCCompilerError] | tuple[type[PCCompilerError], ...] = PCCompilerError,
) -> str:
    """The messages of ``attempts``, one after the other, each of which must raise a ``kind``.

    Raises:
        AssertionError: If one is not refused.
    """
    messages: list[str] = []
    for number, attempt in enumerate(attempts):
        try:
            attempt()
        except kind as error:
            messages.append(str(error))
        else:
            raise AssertionError(f"attempt {number} is not refused")
    return "\n".join(messages)
