"""The catalogue of named data sets."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from pccompiler.datasets.paper import FIGURES, PARAMETERS
from pccompiler.datasets.records import DatasetInfo, Shape
from pccompiler.errors import DataError

# name, the paper's title, number of variables, of training, validation and test rows
_Row = tuple[str, str, int, int, int, int]

_TWENTY: Final[tuple[_Row, ...]] = (
    ("nltcs", "NLTCS", 16, 16181, 2157, 3236),
    ("msnbc", "MSNBC", 17, 291326, 38843, 58265),
    ("kdd", "KDDCup2k", 64, 180092, 19907, 34955),
    ("plants", "Plants", 69, 17412, 2321, 3482),
    ("baudio", "Audio", 100, 15000, 2000, 3000),
    ("jester", "Jester", 100, 9000, 1000, 4116),
    ("bnetflix", "Netflix", 100, 15000, 2000, 3000),
    ("accidents", "Accidents", 111, 12758, 1700, 2551),
    ("tretail", "Retail", 135, 22041, 2938, 4408),
    ("pumsb_star", "Pumsb-star", 163, 12262, 1635, 2452),
    ("dna", "DNA", 180, 1600, 400, 1186),
    ("kosarek", "Kosarek", 190, 33375, 4450, 6675),
    ("msweb", "MSWeb", 294, 29441, 3270, 5000),
    ("book", "Book", 500, 8700, 1159, 1739),
    ("tmovie", "EachMovie", 500, 4524, 1002, 591),
    ("cwebkb", "WebKB", 839, 2803, 558, 838),
    ("cr52", "Reuters-52", 889, 6532, 1028, 1540),
    ("c20ng", "20Newsgrp", 910, 11293, 3764, 3764),
    ("bbc", "BBC", 1058, 1670, 225, 330),
    ("ad", "Ad", 1556, 2461, 327, 491),
)
# The paper leaves out decor and pottytrain.
_AMAZON: Final[tuple[_Row, ...]] = (
    ("apparel", "apparel", 100, 10479, 1497, 2994),
    ("bath", "bath", 100, 10179, 1454, 2909),
    ("bedding", "bedding", 100, 11459, 1637, 3274),
    ("carseats", "carseats", 34, 5296, 756, 1514),
    ("decor", "decor", 9, 1197, 171, 342),
    ("diaper", "diaper", 100, 11731, 1676, 3352),
    ("feeding", "feeding", 100, 13300, 1900, 3801),
    ("furniture", "furniture", 32, 4965, 709, 1419),
    ("gear", "gear", 100, 11776, 1682, 3365),
    ("gifts", "gifts", 16, 2777, 397, 794),
    ("health", "health", 62, 9839, 1406, 2812),
    ("media", "media", 58, 4132, 591, 1181),
    ("moms", "moms", 16, 3453, 493, 987),
    ("pottytrain", "pottytrain", 2, 249, 35, 72),
    ("safety", "safety", 36, 6224, 889, 1779),
    ("strollers", "strollers", 40, 5175, 739, 1479),
    ("toys", "toys", 62, 7051, 1007, 2015),
)
_EXTRA: Final[tuple[_Row, ...]] = (
    ("moviereview", "MovieReview", 1001, 1600, 150, 250),
    ("mushrooms", "Mushrooms", 112, 2000, 500, 5624),
    ("nips", "NIPS", 500, 400, 100, 1240),
    ("ocr_letters", "OCR-letters", 128, 32152, 10000, 10000),
    ("voting", "Voting", 1359, 1214, 200, 350),
)
_IMAGES: Final[tuple[_Row, ...]] = (
    ("mnist", "MNIST", 784, 50000, 10000, 10000),
    ("binarized_mnist", "binarized MNIST", 784, 50000, 10000, 10000),
)
_BUNDLED: Final[tuple[_Row, ...]] = (("digits", "digits", 64, 1000, 297, 500),)
_GENERATED: Final[tuple[_Row, ...]] = (("hand-designed", "hand-designed", 256, 7000, 1000, 2000),)

COLLECTIONS: Final[Mapping[str, tuple[_Row, ...]]] = {
    "twenty": _TWENTY,
    "amazon": _AMAZON,
    "extra": _EXTRA,
    "images": _IMAGES,
    "bundled": _BUNDLED,
    "generated": _GENERATED,
}
_SHAPES: Final[Mapping[str, Shape]] = {
    "mnist": (1, 28, 28),
    "binarized_mnist": (1, 28, 28),
    "digits": (1, 8, 8),
}
_STATES: Final = {"mnist": 256, "digits": 17}  # all other sets are binary
_ALIASES: Final = {"20 Newsgroups": "c20ng"}  # the usual spelling of the paper's 20Newsgrp


def _entry(collection: str, row: _Row) -> DatasetInfo:
    name, title, num_variables, num_train, num_valid, num_test = row
    return DatasetInfo(
        name=name,
        title=title,
        collection=collection,
        num_variables=num_variables,
        num_train=num_train,
        num_valid=num_valid,
        num_test=num_test,
        paper=FIGURES.get(name),
        paper_parameters=PARAMETERS.get(name),
        num_states=_STATES.get(name, 2),
        image_shape=_SHAPES.get(name),
    )


_ENTRIES: Final = tuple(_entry(c, row) for c, rows in COLLECTIONS.items() for row in rows)


def _key(name: str) -> str:
    """Normalize a name so that case, spaces, hyphens and underscores do not matter."""
    return name.casefold().translate(str.maketrans("", "", " -_"))


_BY_KEY: Final = {
    **{_key(spelling): entry for entry in _ENTRIES for spelling in (entry.name, entry.title)},
    **{
        _key(alias): entry for alias, n in _ALIASES.items() for entry in _ENTRIES if entry.name == n
    },
}


def names(collection: str | None = None) -> tuple[str, ...]:
    """Names of the data sets, in the paper's order.

    Args:
        collection: ``"twenty"``, ``"amazon"``, ``"extra"``, ``"images"``, ``"bundled"`` or
            ``"generated"``; by default all.

    Raises:
        DataError: If there is no such collection.
    """
    if collection is not None and collection not in COLLECTIONS:
        raise DataError.of(
            "PC410",
            f"there is no collection {collection!r}",
            help=f"use one of {', '.join(COLLECTIONS)}, or None for all",
        )
    return tuple(e.name for e in _ENTRIES if collection in (None, e.collection))


def info(name: str) -> DatasetInfo:
    """Look up a data set without loading it.

    Args:
        name: The file name (``"baudio"``), the paper's title in any case (``"Audio"``), or either
            with its collection (``"twenty/baudio"``).

    Raises:
        DataError: If there is no such data set; suggests close matches.
    """
    collection, _, bare = name.rpartition("/")
    entry = _BY_KEY.get(_key(bare))
    if entry is None or collection not in ("", entry.collection):
        raise _unknown(name, bare)
    return entry


def _unknown(name: str, bare: str) -> DataError:
    close = difflib.get_close_matches(_key(bare), _BY_KEY, n=3)
    matches = dict.fromkeys(_described(_BY_KEY[key]) for key in close)
    return DataError.of(
        "PC410",
        f"there is no data set {name!r}",
        notes=[f"did you mean {' or '.join(matches)}?"] if matches else [],
        help="'pccompiler datasets' lists all names; give a file of your own by its path",
    )


def _described(entry: DatasetInfo) -> str:
    name = f"'{entry.collection}/{entry.name}'"
    return name if _key(entry.title) == _key(entry.name) else f"{name} ({entry.title})"
