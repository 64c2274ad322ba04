"""Our time beside a peer's, and what follows from many of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.page.results import unique
from benchmarks.page.words import number, plural, times

PLAIN = "plain PyTorch"
"""Our own circuit in torch operations, without kernels: a baseline, and not another program."""


class Contest(NamedTuple):
    """One measurement of ours and of a peer, in the same unit.

    Attributes:
        what: The circuit and what is timed.
        ours: Time of pccompiler.
        peer: The name of the other program.
        theirs: Time of the other program.
    """

    what: str
    ours: float
    peer: str
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times as long the peer takes."""
        return self.theirs / self.ours


def verdict(contests: Sequence[Contest]) -> str:
    """Who is faster, for each peer, and the cases in which the peer is."""
    peers = unique(contest.peer for contest in contests)
    return " ".join(_against(peer, [c for c in contests if c.peer == peer]) for peer in peers)


def _against(peer: str, contests: Sequence[Contest]) -> str:
    ahead = [contest for contest in contests if contest.ratio > 1]
    middle = times(statistics.median(contest.ratio for contest in contests))
    score = f"{len(ahead)} of {plural(len(contests), 'case')}"
    text = (
        f"Beside {peer}, pccompiler is faster in {score}; {peer} takes {middle} as long (median)."
    )
    return f"{text} **Peer faster**: {behind(contests)}."


def behind(contests: Sequence[Contest]) -> str:
    """The cases in which the peer is at least as fast, with both times; "none" if there is none."""
    return (
        "; ".join(
            f"{c.what} ({number(c.theirs)}, ours {number(c.ours)})"
            for c in contests
            if c.ratio <= 1
        )
        or "none"
    )
