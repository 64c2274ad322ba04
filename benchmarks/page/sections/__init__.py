"""The sections of the page, in its order; a new one is a file here and a line below."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.page.results import Results
from benchmarks.page.section import Section
from benchmarks.page.sections.cases import every_case
from benchmarks.page.sections.conditional import conditional
from benchmarks.page.sections.costs import costs
from benchmarks.page.sections.cpu import cpus
from benchmarks.page.sections.gpu import training_step
from benchmarks.page.sections.missing import missing
from benchmarks.page.sections.networks import networks
from benchmarks.page.sections.paper import paper
from benchmarks.page.sections.queries import queries
from benchmarks.page.sections.soundness import soundness
from benchmarks.page.sections.wide import wide

SECTIONS: tuple[Callable[[Results], Section], ...] = (
    training_step,
    wide,
    conditional,
    queries,
    networks,
    cpus,
    paper,
    missing,
    costs,
    soundness,
    every_case,
)
