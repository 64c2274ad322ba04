"""A run of `pccompiler bench`: case after case, each with its peers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pccompiler.bench.cases import Case
from pccompiler.bench.measure import Bench, Record
from pccompiler.bench.peering import Contest
from pccompiler.errors import OptionError, PCCompilerError
from pccompiler.progress import progress_bar


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes:
        records: A line for each case, in order; of one that failed, its ``error``.
        failures: What went wrong, peers included.
    """

    records: list[Record]
    failures: list[PCCompilerError]


def run_cases(cases: Sequence[Case], bench: Bench, contest: Contest) -> Outcome:
    """Measure; a case or a peer that fails costs no other its figure."""
    outcome = Outcome([], [])
    with progress_bar("measuring", len(cases), left=False) as advance:
        for number, case in enumerate(cases):
            advance(min(number, 1), case.name)
            try:
                record = bench.run(case)
            except Exception as error:  # of any library below: no other case shall be lost
                outcome.failures.append(_failed(case, error))
                record = {"case": case.name, "batch": case.batch, "error": str(error)}
            else:
                record |= _peers(case, record, bench, contest)
            outcome.records.append(record)
    outcome.failures.extend(contest.failures)
    return outcome


def _peers(case: Case, record: Record, bench: Bench, contest: Contest) -> Record:
    if not contest.peers:
        return {}
    tree = bench.built(case.subject).made.tree
    edges: list[list[int]] | None = None if tree is None else tree.tolist()
    return {"peers": contest.answers(case, record["ms"], edges)}


def _failed(case: Case, error: Exception) -> PCCompilerError:
    if isinstance(error, PCCompilerError):
        return error
    lines = str(error).splitlines() or [type(error).__name__]
    logging.getLogger("pccompiler").debug("case %s", case.name, exc_info=error)
    return OptionError.of(
        "PC786",
        f"case {case.name} failed: {lines[0]}",
        notes=lines[1:5],
        help="choose a smaller case or batch, if memory ran out; else report it",
    )
