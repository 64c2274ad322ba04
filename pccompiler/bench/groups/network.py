"""Cases of a Bayesian network: one row at a time, as a doctor asks."""

from __future__ import annotations

from collections.abc import Iterator

from pccompiler.bench.case import Case
from pccompiler.bench.groups.queries import query
from pccompiler.bench.subjects.subject import Subject

SIZES = (20, 40)
"""Variables; pgmpy finds the most probable states of the first only."""
STATES = 4
"""The most states of a variable."""


def networks() -> Iterator[Case]:
    """One posterior, all posteriors, and the most probable completion."""
    for n in SIZES:
        subject = Subject(structure="bayesian-network", n=n, values=STATES)
        for kind in ("posterior_one", "posterior_marginals", "mpe"):
            yield query("query-latency", kind, f"network-{n}", subject, 1)
