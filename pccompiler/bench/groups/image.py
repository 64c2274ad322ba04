"""Cases of quad trees, as built by cirkit's `image_data`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pccompiler.bench.case import Case, directions
from pccompiler.bench.subjects.subject import Subject


def images() -> Iterator[Case]:
    """14 x 14 pixels on a CPU, 28 x 28 on a GPU."""
    small = Subject(structure="quad-tree", n=14 * 14, units=32, values=256)
    large = Subject(structure="quad-tree", n=28 * 28, units=32, values=256)
    for case in directions("image", "14x14x256x32", small):
        yield replace(case, batch=128, devices=("cpu",))
    for case in directions("image-latency", "14x14x256x32", small):
        yield replace(case, batch=1, devices=("cpu",))
    for case in directions("image", "28x28x256x32", large):
        yield replace(case, batch=512, devices=("cuda",))
