"""The whole page: a summary of all comparisons, then the sections."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.page.contest import PLAIN, Contest, behind
from benchmarks.page.results import Results, unique
from benchmarks.page.section import Section
from benchmarks.page.sections import SECTIONS
from benchmarks.page.words import number, table, wrapped

DOCS = Path(__file__).parents[2] / "docs"
CHARTS = "images/benchmarks"
INTRODUCTION = (
    "`python -m benchmarks.page` writes this page from the files in "
    "[benchmarks/results](../benchmarks/results), measured between {first} and {last}. Each "
    "part says what was measured, on which machine, when and with which command; commands name "
    "scripts where they stand today. `pccompiler bench` measures such figures on your machine, "
    "next to floors and peers ([how to](howto/bench.md)). Charts have logarithmic axes."
)
DIFFERENCES = (
    "The table counts the cases that a peer ran; it says nothing about others. Each precision "
    "in which we ran counts as a case. PyJuice needs a GPU, can use several GPUs, and its "
    "passes add up flows for EM rather than gradients. cirkit runs complex and squared "
    "circuits, which pccompiler does not. cirkit's times are for its default of "
    "`torch.optim.Adam`, ours for a fused one. SPFlow's are for its NumPy evaluation. cuda.core "
    "only launches kernels. Plain PyTorch is our own circuit without kernels. "
    "[Peers](howto/bench.md#peers) says what is comparable for each program, and what is not."
)


def documents(results: Results) -> dict[str, str]:
    """The page and its charts, by their paths below ``docs``.

    Raises:
        ResultsError: If a result file is missing or lacks a field; the message names its script.
    """
    sections = [write(results) for write in SECTIONS]
    files = {
        f"{CHARTS}/{name}.svg": text
        for section in sections
        for name, text in section.charts.items()
    }
    blocks = [
        "# Measured figures",
        wrapped(_introduction(results)),
        _summary(sections),
        *(section.text for section in sections),
    ]
    return {"benchmarks.md": "\n\n".join(blocks) + "\n", **files}


def _introduction(results: Results) -> str:
    return INTRODUCTION.format(first=min(results.dates), last=max(results.dates))


def _summary(sections: Sequence[Section]) -> str:
    contests = [contest for section in sections for contest in section.contests]
    peers = sorted(unique(contest.peer for contest in contests), key=lambda peer: peer == PLAIN)
    rows = [_against(peer, [one for one in contests if one.peer == peer]) for peer in peers]
    heads = ("peer", "cases", "pccompiler faster", "peer / ours, median", "peer faster, ms")
    return "\n\n".join(["## Summary of the comparisons", table(heads, rows), wrapped(DIFFERENCES)])


def _against(peer: str, contests: Sequence[Contest]) -> tuple[str, ...]:
    return (
        peer,
        str(len(contests)),
        str(sum(one.ratio > 1 for one in contests)),
        number(statistics.median(one.ratio for one in contests)),
        behind(contests),
    )


def write(docs: Path, results: Results) -> None:
    """Write the page and its charts, and remove charts that no section draws any more.

    Args:
        docs: The folder of the documentation.
        results: Where the numbers come from.
    """
    made = documents(results)
    for path in (docs / CHARTS).glob("*.svg"):
        if f"{CHARTS}/{path.name}" not in made:
            path.unlink()
    (docs / CHARTS).mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (docs / name).write_text(text)
