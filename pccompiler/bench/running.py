"""A run of `pccompiler bench`: all cases in turn, each with its peers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pccompiler.bench.case import Case
from pccompiler.bench.measure import Bench, Record
from pccompiler.bench.peering import Contest
from pccompiler.errors import OptionError, PCCompilerError
from pccompiler.progress import progress_bar

Keep = Callable[[Sequence[Record]], None]


@dataclass
class Outcome:
    """The results of a run.

    Attributes:
        records: A line for each case, in order; with an ``error`` if it failed.
        failures: All failures, peers included.
        interrupted: Whether Ctrl-C stopped the run; the records are those until then.
    """

    records: list[Record] = field(default_factory=list[Record])
    failures: list[PCCompilerError] = field(default_factory=list[PCCompilerError])
    interrupted: bool = False


def run_cases(
    cases: Sequence[Case], bench: Bench, contest: Contest, keep: Keep = lambda records: None
) -> Outcome:
    """Measure all cases; the failure of a case or a peer does not affect the others.

    Args:
        cases: The cases to measure.
        bench: Measures them.
        contest: The peers.
        keep: Called with all records so far whenever one is added.
    """
    outcome = Outcome()
    try:
        with progress_bar("measuring", len(cases), left=False) as advance:
            for number, case in enumerate(cases):
                advance(min(number, 1), case.name)
                _run_case(case, bench, contest, outcome, keep)
    except KeyboardInterrupt:
        outcome.interrupted = True
        if outcome.records:  # the last call may have been interrupted
            keep(outcome.records)
    outcome.failures.extend(contest.failures)
    return outcome


def _run_case(case: Case, bench: Bench, contest: Contest, outcome: Outcome, keep: Keep) -> None:
    """Measure and keep our own result before the peers start, as they may take long."""
    try:
        record = bench.run(case)
    except Exception as error:  # any library may fail, and other cases must not be lost
        outcome.failures.append(_failed(case, error))
        record = {"case": case.name, "batch": case.batch, "error": str(error)}
    outcome.records.append(record)
    keep(outcome.records)
    if contest.peers and "error" not in record:
        record |= _peers(case, record, bench, contest)
        keep(outcome.records)


def _peers(case: Case, record: Record, bench: Bench, contest: Contest) -> Record:
    files = bench.built(case.subject).made.files
    return {"peers": contest.answers(case, record["ms"], files)}


def _failed(case: Case, error: Exception) -> PCCompilerError:
    if isinstance(error, PCCompilerError):
        return error
    lines = str(error).splitlines() or [type(error).__name__]
    logging.getLogger("pccompiler").debug("case %s", case.name, exc_info=error)
    return OptionError.of(
        "PC786",
        f"case {case.name} failed: {lines[0]}",
        notes=lines[1:5],
        help="choose a smaller case or batch if memory ran out; otherwise report it",
    )
