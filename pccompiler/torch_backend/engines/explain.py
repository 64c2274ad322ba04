"""Reports which engine answers each question, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import Engine, NoMatch, Target
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.engines.select import Engines, engines


@dataclass(frozen=True, kw_only=True)
class Passed:
    """An engine that was not chosen.

    Attributes:
        engine: Its name.
        why: The reason, as a clause.
    """

    engine: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The engine chosen for a question.

    Attributes:
        question: The question, see `Wanted`.
        engine: The engine that runs.
        started: Whether it was loaded on the device; otherwise only the plan was inspected.
        launches: Number of its own kernels that an evaluation launches, without those for weights;
            ``None`` if unknown, because torch or the device decides.
        others: All other engines.
        likelihoods: The engine that runs given soft or interval evidence, since not all take it;
            empty for the expected counts of EM, which do not.
    """

    question: str
    engine: str
    started: bool
    launches: int | None
    others: tuple[Passed, ...]
    likelihoods: str = ""


def choices(plan: Plan, target: Target, ready: Engines | None) -> tuple[Choice, ...]:
    """The engine chosen for every question.

    Args:
        plan: The plan to run.
        target: Where to run it.
        ready: A model's engines, which are loaded; with ``None`` the device is not touched.
    """

    def match(kind: type[Engine], wanted: Wanted) -> Engine | NoMatch:
        return kind.match(plan, target, wanted)

    kinds, ask = (engines(), match) if ready is None else (ready.kinds, ready.ask)
    return tuple(_choice(kinds, wanted, ask, match) for wanted in Wanted)


_Ask = Callable[[type[Engine], Wanted], Engine | NoMatch]


def _choice(kinds: Sequence[type[Engine]], wanted: Wanted, ask: _Ask, match: _Ask) -> Choice:
    chosen: Engine | None = None
    others: list[Passed] = []
    for kind in kinds:
        found = (ask if chosen is None else match)(kind, wanted)
        if isinstance(found, NoMatch):
            others.append(Passed(engine=kind.name, why=found.reason))
        elif chosen is None:
            chosen = found
        else:
            why = f"its turn comes after {chosen.name}"
            others.append(Passed(engine=kind.name, why=why))
    if chosen is None:
        raise AssertionError("the arena runs every plan")  # pragma: no cover
    return Choice(
        question=wanted.value,
        engine=chosen.name,
        started=ask is not match,
        launches=chosen.launches(wanted),
        others=tuple(others),
        likelihoods=_with_likelihoods(kinds, wanted, ask),
    )


def _with_likelihoods(kinds: Sequence[type[Engine]], wanted: Wanted, ask: _Ask) -> str:
    if wanted is Wanted.COUNTS:
        return ""
    fits = (k for k in kinds if k.takes_given and not isinstance(ask(k, wanted), NoMatch))
    return next(fits).name
