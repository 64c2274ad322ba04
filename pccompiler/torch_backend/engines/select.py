"""Picks the engine for each question: the first in the list that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import getattr_static
from types import MappingProxyType
from typing import Final, TypeVar

import torch
from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.log import say_once
from pccompiler.plugins import Registry, subclasses
from pccompiler.torch_backend.engines.arena.engine import Arena
from pccompiler.torch_backend.engines.base import Engine, NoMatch, Target
from pccompiler.torch_backend.engines.budgeted.engine import Budgeted
from pccompiler.torch_backend.engines.dense.engine import Dense
from pccompiler.torch_backend.engines.differentiable import evaluate
from pccompiler.torch_backend.engines.general.cpu import GeneralOnCPU
from pccompiler.torch_backend.engines.general.cuda import GeneralOnCUDA
from pccompiler.torch_backend.engines.layered.engine import Layered
from pccompiler.torch_backend.engines.questions import Batch, Task, Wanted
from pccompiler.torch_backend.engines.trees.cpu import TreesOnCPU
from pccompiler.torch_backend.engines.trees.cuda import TreesOnCUDA
from pccompiler.torch_backend.runtime.autocast import full_precision
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.weights.weights import Weights

OURS: Final[tuple[type[Engine], ...]] = (
    *(Budgeted, TreesOnCPU, TreesOnCUDA, Dense),
    *(GeneralOnCPU, GeneralOnCUDA, Layered, Arena),
)
"""In the order in which they are tried."""


ENGINES: Final = Registry[type[Engine]](
    "pccompiler.engines",
    {kind.name: kind for kind in OURS},
    subclasses(Engine, "a subclass of Engine"),
)


Result = TypeVar("Result")


def register(kind: type[Engine]) -> None:
    """Add an engine for this process; an entry point of ``pccompiler.engines`` does so permanently.

    Models that have run keep the engines that they know.

    Raises:
        PluginError: If the name is taken, or ``kind`` is not an engine.
    """
    ENGINES.add(kind.name, kind)


def unregister(name: str) -> None:
    """Undo `register`. Models that have run keep the engines that they know."""
    ENGINES.remove(name)


def engines() -> list[type[Engine]]:
    """All engines in the order in which they are tried.

    Engines of other packages come first, except that the memory budget always takes precedence.
    One warning each tells why an engine cannot be loaded.
    """
    others = [kind for kind in ENGINES.usable().values() if kind not in OURS]
    return [Budgeted, *others, *OURS[1:]]


class Engines:
    """The engines of one model on one target; each is created when first chosen.

    Those that are registered or removed later make no difference.

    Args:
        plan: The plan to evaluate.
        target: Where to evaluate it.
        weights: Weights of the model.
        kernels: Whether fused kernels may run.
    """

    def __init__(self, plan: Plan, target: Target, weights: Weights, *, kernels: bool) -> None:
        self.plan, self.target, self.weights, self.kernels = plan, target, weights, kernels
        self.kinds = engines()
        self.verdicts: dict[tuple[type[Engine], Wanted], Engine | NoMatch] = {}
        self.loaded: dict[type[Engine], Engine | NoMatch] = {}
        self.chosen: dict[tuple[Wanted, type[Engine] | None, bool], Engine] = {}

    def choose(
        self, wanted: Wanted, after: type[Engine] | None = None, *, given: bool = False
    ) -> Engine:
        """The first engine that answers a question; with ``after``, only those that come later.

        With ``given``, only those that take log-values of leaves (`Batch.given`).

        Raises:
            AssertionError: If there is none, which cannot happen since the arena runs every plan.
        """
        if (wanted, after, given) not in self.chosen:
            start = self.kinds.index(after) + 1 if after else 0
            kinds = [kind for kind in self.kinds[start:] if kind.takes_given or not given]
            self.chosen[wanted, after, given] = self._select(kinds, wanted)
        return self.chosen[wanted, after, given]

    def _select(self, kinds: Iterable[type[Engine]], wanted: Wanted) -> Engine:
        """The one rule: the first engine that fits. If no kernels fit, says why, once."""
        refusals: list[str] = []
        for kind in kinds:
            found = self.ask(kind, wanted)
            if not isinstance(found, NoMatch):
                if not found.in_kernels:
                    self._say(refusals)
                return found
            if self._nearly(kind, wanted):
                refusals.append(f"{kind.name}: {found}")
        raise AssertionError(f"no engine computes {wanted.value}")

    def ask(self, kind: type[Engine], wanted: Wanted) -> Engine | NoMatch:
        """The engine of a given class, ready to run, or the reason why it does not run."""
        if (kind, wanted) not in self.verdicts:
            with torch.inference_mode(False):  # its tensors are used for gradients later
                verdict = self._verdict(kind, wanted)
            alike = kind.answers if wanted in kind.answers and not _tells_apart(kind) else {wanted}
            self.verdicts |= dict.fromkeys([(kind, each) for each in alike], verdict)
        return self.verdicts[kind, wanted]

    def _verdict(self, kind: type[Engine], wanted: Wanted) -> Engine | NoMatch:
        if wanted in kind.answers and kind.in_kernels and not self.kernels:
            return NoMatch("fused kernels are turned off")
        found = kind.match(self.plan, self.target, wanted)
        if isinstance(found, NoMatch):
            return found
        if kind not in self.loaded:
            self.loaded[kind] = self._load(found)
        return self.loaded[kind]

    def _load(self, engine: Engine) -> Engine | NoMatch:
        try:
            engine.load(self.weights, partial(self.evaluate, after=type(engine)))
        except NoMatch as why:
            return NoMatch(why.reason)  # see `Engine.match`
        except KernelError as why:
            return NoMatch(str(why))
        return engine

    def _nearly(self, kind: type[Engine], wanted: Wanted) -> bool:
        """Whether it is because of the plan that the kernels do not run."""
        here = kind.only_device == self.target.device.type
        here = here and kind.only_dtype in (None, self.target.dtype)
        return kind.in_kernels and here and wanted in kind.answers

    def _say(self, refusals: list[str]) -> None:
        """Log why kernels do not fit, except on a CPU, where they rarely do."""
        if self.kernels and self.target.device.type == "cuda" and refusals:
            reasons = "; ".join(refusals)
            say_once(f"no fused kernels fit the circuit, so it runs layer by layer ({reasons})")

    def evaluate(
        self,
        x: Tensor,
        complete: bool,
        after: type[Engine] | None = None,
        given: Mapping[int, Tensor] = MappingProxyType({}),
    ) -> Tensor:
        """Log-likelihoods without `Plan.log_scale`, shape (batch,); ``given`` as in `Batch`."""
        wanted = Wanted.GRADIENT if torch.is_grad_enabled() else Wanted.VALUE

        def run(engine: Engine) -> Tensor:
            return evaluate(engine, Batch(x, complete, given), self.weights, wanted)

        return self._run(wanted, len(x), run, after, given=bool(given))

    def counts(
        self, batch: Batch, operands: Sequence[Tensor], flows: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Log-likelihoods without `Plan.log_scale`, and expected counts and flows of units.

        Args:
            batch: At most `Engine.most_rows` rows.
            operands: As `Engine` describes them for `Wanted.COUNTS`.
            flows: How many times each row counts, shape (batch,).
        """

        def run(engine: Engine) -> tuple[Tensor, list[Tensor]]:
            value, ascent = engine.up(batch, operands, Wanted.COUNTS)
            found = engine.down(ascent, Task(flows, Wanted.COUNTS)).operands
            counts = [each for each in found if each is not None]
            if len(counts) < len(operands):
                raise AssertionError(f"{engine.name} has no counts for an operand")
            return value, counts

        return self._run(Wanted.COUNTS, len(batch.x), run)

    def _run(
        self,
        wanted: Wanted,
        rows: int,
        run: Callable[[Engine], Result],
        after: type[Engine] | None = None,
        *,
        given: bool = False,
    ) -> Result:
        """Run the chosen engine; if its kernels fail, turn them off and run the next one."""
        while True:
            engine = self.choose(wanted, after, given=given)
            try:
                with engine.threads(rows), full_precision(self.target.device):
                    return run(engine)
            except KernelError as why:
                if not engine.in_kernels:
                    raise
                say_once(f"fused kernels failed, so the circuit runs layer by layer: {why}")
                self.turn_off_kernels()

    def turn_off_kernels(self) -> None:
        """Run in plain torch operations from now on."""
        self.kernels = False
        self.chosen.clear()
        self.verdicts = {k: made for k, made in self.verdicts.items() if not k[0].in_kernels}
        self.loaded = {k: made for k, made in self.loaded.items() if not k.in_kernels}

    def release(self) -> None:
        """Free memory that engines keep for the next batch."""
        for made in self.loaded.values():
            if not isinstance(made, NoMatch):
                made.release()


def _tells_apart(kind: type[Engine]) -> bool:
    """Whether the engine may fit for some of its questions only; matching may take 0.1 s."""
    return getattr_static(kind, "match") is not getattr_static(Engine, "match")
