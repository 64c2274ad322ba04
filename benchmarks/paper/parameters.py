"""The paper's "# Params" for its 35 data sets: allocated as its authors do, and used.

    python -m benchmarks.paper.parameters

Every number is counted on compiled models, none is computed from a formula.
"""

from __future__ import annotations

import pccompiler as pc
from benchmarks.common import Report
from pccompiler import recipes
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.sectors import partition
from pccompiler.passes import plan


def count(circuit: pc.Circuit, generator: pc.Hypernetwork | pc.Direct) -> int:
    """Trainable numbers of ``circuit`` under ``generator``."""
    attached = partition(circuit, pc.Sectors()).replace(generator=generator)
    return lay_out(plan(attached)).num_parameters


def main() -> None:
    """One line a data set, then a summary."""
    report = Report("parameters")
    wrong = published = 0
    names = [*pc.datasets.names("twenty"), *pc.datasets.names("amazon")]
    for name in names:
        entry = pc.datasets.info(name)
        if entry.paper is None:
            continue
        circuit = pc.rat_spn(entry.num_variables, 50, 5)
        net = recipes.paper(name).hypernetwork or pc.Hypernetwork()
        allocated = pc.Hypernetwork(hidden=net.hidden, allocation="reference")
        counts = {
            "spn_allocated": count(circuit, pc.Direct(allocation="reference")),
            "hyperspn_allocated": count(circuit, allocated),
            "spn_used": count(circuit, pc.Direct()),
            "hyperspn_used": count(circuit, net),
        }
        paper = entry.paper_parameters
        if paper is not None:
            published += 1
            wrong += paper != (counts["spn_allocated"], counts["hyperspn_allocated"])
        report.add(data=name, n=entry.num_variables, paper=paper, **counts)
    report.add(sets_published=published, sets_that_differ=wrong)


if __name__ == "__main__":
    main()
