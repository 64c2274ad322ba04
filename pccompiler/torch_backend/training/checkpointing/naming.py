"""Names of functions and objects that are the same in each process."""

from __future__ import annotations

import functools
import hashlib
import re
from types import CodeType, FunctionType, MethodType
from typing import Final

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def lasting_name(value: object) -> str:
    """What identifies ``value`` in another process, where it has another address.

    A function by its module, its name and its code; a `functools.partial` by its function and its
    arguments; an object without a ``__repr__`` of its own by its type; all others by their
    ``repr``. What a function takes from its surroundings does not count.
    """
    if isinstance(value, functools.partial):
        given = [lasting_name(one) for one in value.args]
        given += [f"{name}={lasting_name(one)}" for name, one in value.keywords.items()]
        return f"partial({', '.join([lasting_name(value.func), *given])})"
    if isinstance(value, MethodType):
        return f"{lasting_name(value.__func__)} of {lasting_name(value.__self__)}"
    if isinstance(value, FunctionType):
        code = hashlib.sha256(_code(value.__code__).encode()).hexdigest()
        return f"{_path(value)} (code {code[:16]})"
    if isinstance(value, type):
        return f"type {_path(value)}"
    if type(value).__repr__ is object.__repr__:
        return _path(type(value))
    return _ADDRESS.sub("", repr(value))


def _path(value: FunctionType | type) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _code(code: CodeType) -> str:
    """The instructions, with the names and constants that they use."""
    constants = [_constant(one) for one in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return f"{value.co_name}: {_code(value)}"
    if isinstance(value, frozenset):  # in another order in each process
        return f"frozenset({sorted(_constant(one) for one in value)})"
    if isinstance(value, tuple):
        return f"({', '.join(_constant(one) for one in value)})"
    return _ADDRESS.sub("", repr(value))
