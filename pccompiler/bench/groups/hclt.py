"""Cases of hidden Chow-Liu trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pccompiler.bench.case import BACKWARDS, Case, directions
from pccompiler.bench.groups.precisions import on_gpu
from pccompiler.bench.kinds.registry import KINDS
from pccompiler.bench.subjects.subject import Subject


def hclts() -> Iterator[Case]:
    """A small one for CPUs; on GPUs an image of MNIST's size, by number of states."""
    small = Subject(structure="hclt", n=64, units=32, values=256)
    tail = "64x256x32"
    for case in [*directions("hclt", tail, small), _em(tail, small)]:
        yield replace(case, batch=128, devices=("cpu",))
    for states in (128, 256, 512):
        subject = Subject(structure="hclt", n=784, units=states, values=256)
        tail = f"784x256x{states}"
        kinds = BACKWARDS if states == 128 else ("gradients", "forward")
        yield from on_gpu([*directions("hclt", tail, subject, kinds), _em(tail, subject)])


def wide_sums() -> Iterator[Case]:
    """Sums of 1,024 and 2,048 units, over few enough variables for one GPU."""
    for states in (1024, 2048):
        subject = Subject(structure="hclt", n=64, units=states, values=256)
        tail = f"64x256x{states}"
        yield from on_gpu(directions("wide", tail, subject, ("gradients", "forward")))


def _em(tail: str, subject: Subject) -> Case:
    return Case(name=f"em-hclt-{tail}", subject=subject, kind=KINDS["em"])
