"""Plug-ins: additions by other packages, through entry points.

A package that declares, for instance::

    [project.entry-points."pccompiler.passes"]
    flip = "my_package.flip:Flip"

adds the pass ``flip``. A plug-in is imported only when it is used by name, or when all are needed;
then those that cannot be used are left out with a warning, so that a broken one affects nothing
else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeGuard, TypeVar

from pccompiler.errors import PCCompilerError, PluginError
from pccompiler.log import say_once

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Expected(Generic[Thing]):
    """What a registry holds.

    Attributes:
        fits: Whether an object can be registered.
        words: The same in words, such as "a subclass of Pass".
        own_name: The only name that an object can be registered under, if it has a name of its own.
    """

    fits: Callable[[object], TypeGuard[Thing]]
    words: str
    own_name: Callable[[Thing], str] | None = None


def subclasses(base: type[Thing], words: str) -> Expected[type[Thing]]:
    """Registries of classes derived from ``base``."""

    def fits(thing: object) -> TypeGuard[type[Thing]]:
        return isinstance(thing, type) and issubclass(thing, base)

    return Expected(fits, words)


def functions(words: str) -> Expected[Any]:
    """Registries of functions."""
    return Expected(_is_function, words)


def _is_function(thing: object) -> TypeGuard[Callable[..., object]]:
    return callable(thing)


def instances(kind: type[Thing], words: str) -> Expected[Thing]:
    """Registries of instances of ``kind``."""

    def fits(thing: object) -> TypeGuard[Thing]:
        return isinstance(thing, kind)

    return Expected(fits, words)


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Objects by name: pccompiler's own, registered ones, and those that other packages declare.

    Args:
        group: The group of entry points, such as ``"pccompiler.passes"``.
        own: pccompiler's own objects.
        expected: What may be registered.
        missing: The error that `find` raises for a name that nobody has registered.
    """

    def __init__(
        self,
        group: str,
        own: Mapping[str, Thing],
        expected: Expected[Thing],
        missing: Callable[[str], PCCompilerError] | None = None,
    ) -> None:
        self.group, self._expected, self._missing = group, expected, missing
        self._own, self._added = dict(own), set[str]()

    def __getitem__(self, name: str) -> Thing:
        return self._own[name] if name in self._own else self._loaded(name)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in _declared(self.group)

    def __iter__(self) -> Iterator[str]:
        """The names of pccompiler, then those of other packages."""
        yield from self._own
        yield from (name for name in _declared(self.group) if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def find(self, name: str) -> Thing:
        """The object called ``name``.

        Raises:
            PCCompilerError: The one given as ``missing``, if there is none.
        """
        if name not in self and self._missing:
            raise self._missing(name)
        return self[name]

    def usable(self) -> dict[str, Thing]:
        """All objects by name; one warning each tells why a plug-in is left out."""
        found = dict(self._own)
        for name in _declared(self.group):
            try:
                found.setdefault(name, self._loaded(name))
            except PluginError as why:
                say_once(f"a plug-in is left out: {why}")
        return found

    def add(self, name: str, thing: Thing) -> None:
        """Register ``thing`` in this process, without an entry point.

        It may replace what an earlier call registered if both have the same module and qualified
        name (for instances: of their classes), so that a notebook cell can be run again.

        Raises:
            PluginError: If the name is taken, or the object is not of the expected kind.
        """
        checked = self._checked(name, thing, "given to add()")
        again = name in self._added and _definition(self._own[name]) == _definition(thing)
        if name in self and not again:
            raise _twice(name, self.group, ["pccompiler or a package", "this call"])
        self._own[name] = checked
        self._added.add(name)

    def remove(self, name: str) -> None:
        """Undo `add`."""
        self._added.remove(name)
        del self._own[name]

    def _loaded(self, name: str) -> Thing:
        """What a package declares under ``name``."""
        entries = _declared(self.group)[name]
        owners = (["pccompiler"] if name in self._own else []) + [_package(e) for e in entries]
        if len(owners) > 1:
            raise _twice(name, self.group, owners)
        return self._checked(name, _load(entries[0]), f"which {owners[0]!r} declares")

    def _checked(self, name: str, thing: object, whence: str) -> Thing:
        fits, words, own_name = self._expected.fits, self._expected.words, self._expected.own_name
        if not fits(thing):
            fault, help = f"is not {words}: it is {thing!r}", f"register {words}"
        elif own_name and own_name(thing) != name:
            fault = f"calls itself {own_name(thing)!r}"
            help = f"register it as {own_name(thing)!r}"
        else:
            return thing
        raise PluginError.of("PC792", f"{name!r} in {self.group}, {whence}, {fault}", help=help)


def _definition(thing: object) -> tuple[str, str]:
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return named.__module__, str(getattr(named, "__qualname__"))  # noqa: B009


def _declared(group: str) -> Mapping[str, Sequence[EntryPoint]]:
    return _found(group, tuple(sys.path))


@lru_cache(maxsize=64)
def _found(group: str, path: tuple[str, ...]) -> Mapping[str, Sequence[EntryPoint]]:
    """The entry points of ``group`` by name; looking through ``sys.path`` takes milliseconds."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        others = found.setdefault(entry.name, [])
        if all(other.value != entry.value for other in others):
            others.append(entry)
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
