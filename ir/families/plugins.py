"""Families of other packages: their entry points are imported once a family is asked for by name.

A package lists the module that registers its families in its metadata::

    [project.entry-points."pccompiler.families"]
    weather = "weather_leaves.families"
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from pccompiler.errors import OptionError

GROUP = "pccompiler.families"


@cache
def load() -> None:
    """Import all of them, once.

    Raises:
        OptionError: PC132, if an entry point cannot be imported.
    """
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # whatever another package's import raises
            package = entry.dist.name if entry.dist else "an installed package"
            raise OptionError.of(
                "PC132",
                f"the leaf families of {package} cannot be loaded: {type(error).__name__}: {error}",
                notes=[f"its entry point is {entry.name} = {entry.value!r} in group {GROUP!r}"],
                help=f"update or uninstall {package}",
            ) from error
