"""Plug-ins: additions by other packages, through entry points.

A package that declares, for instance::

    [project.entry-points."pccompiler.passes"]
    flip = "my_package.flip:Flip"

adds the pass ``flip``. A plug-in is imported only when it is used by name, so that a broken one
affects nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeGuard, TypeVar

from pccompiler.errors import PluginError

Thing = TypeVar("Thing")


def load(group: str) -> dict[str, object]:
    """All objects that installed packages declare in ``group``, by name.

    Raises:
        PluginError: Names the package, if an object cannot be imported, or if two packages
            declare the same name.
    """
    return {name: _load(entry) for name, entry in _declared(group).items()}


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Objects by name: pccompiler's own, registered ones, and those that other packages declare.

    Args:
        group: The group of entry points, such as ``"pccompiler.passes"``.
        own: pccompiler's own objects. The dict is kept, not copied.
        fits: Whether an object can be registered here.
        expected: The condition of ``fits`` in words, such as "a subclass of Pass".
    """

    def __init__(
        self,
        group: str,
        own: dict[str, Thing],
        fits: Callable[[object], TypeGuard[Thing]],
        expected: str,
    ) -> None:
        self.group, self.expected = group, expected
        self._own, self._fits = own, fits

    def __getitem__(self, name: str) -> Thing:
        if name in self._own:
            return self._own[name]
        entry = _declared(self.group)[name]
        return self._checked(name, _load(entry), f"which {_package(entry)!r} declares")

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in _declared(self.group)

    def __iter__(self) -> Iterator[str]:
        """The names of pccompiler, then those of other packages."""
        declared = _declared(self.group)
        for name in self._own.keys() & declared.keys():
            raise _twice(name, self.group, ["pccompiler", _package(declared[name])])
        yield from self._own
        yield from declared

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, name: str, thing: Thing) -> None:
        """Register ``thing`` in this process, without an entry point.

        Raises:
            PluginError: If the name is taken, or the object is not of the expected kind.
        """
        if name in self:
            raise _twice(name, self.group, ["pccompiler or a package", "this call"])
        self._own[name] = self._checked(name, thing, "given to add()")

    def remove(self, name: str) -> None:
        """Undo `add`."""
        del self._own[name]

    def _checked(self, name: str, thing: object, whence: str) -> Thing:
        if self._fits(thing):
            return thing
        raise PluginError.of(
            "PC792",
            f"{name!r} in {self.group}, {whence}, is not {self.expected}: it is {thing!r}",
            help=f"register {self.expected}",
        )


def _declared(group: str) -> Mapping[str, EntryPoint]:
    return _found(group, tuple(sys.path))


@lru_cache(maxsize=64)
def _found(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The entry points of ``group`` by name; looking through ``sys.path`` takes milliseconds."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise _twice(entry.name, group, [_package(other), _package(entry)])
    return found


def _load(entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:  # importing a foreign module may raise anything
        raise PluginError.of(
            "PC790",
            f"cannot load {entry.name!r} in {entry.group}, which {_package(entry)!r} declares: "
            f"{type(error).__name__}: {error}",
            notes=[f"its entry point is {entry.value}"],
            help=f"repair, upgrade or uninstall {_package(entry)}",
        ) from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"


def _twice(name: str, group: str, owners: list[str]) -> PluginError:
    return PluginError.of(
        "PC791",
        f"{name!r} in {group} is declared twice: by {' and by '.join(owners)}",
        help="rename one of them, or uninstall the package that you do not need",
    )
