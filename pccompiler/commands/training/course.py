"""How ``pccompiler train`` trains: by gradient or by EM, with the options of each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pccompiler.datasets import Splits
from pccompiler.errors import OptionError
from pccompiler.recipes import Recipe

if TYPE_CHECKING:
    from pccompiler.torch_backend import CompiledCircuit, History

BY_GRADIENT = ("learning_rate", "weight_decay", "evaluate_every")
BY_EM = ("step_size", "pseudocount")


def given(**options: object) -> dict[str, Any]:  # passed on to functions that check them
    """Those of ``options`` that are not ``None``."""
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Course:
    """The options of one training; ``None`` where the command line gives none.

    Raises:
        OptionError: If an option belongs to the other way of training.
    """

    em: bool
    steps: int | None
    batch_size: int | None
    learning_rate: float | None
    weight_decay: float | None
    evaluate_every: int | None
    step_size: float | None
    pseudocount: float | None

    def __post_init__(self) -> None:
        for name in BY_GRADIENT if self.em else BY_EM:
            if getattr(self, name) is not None:
                raise OptionError.of(
                    "PC884",
                    f"--{name.replace('_', '-')} is for training by "
                    f"{'gradient' if self.em else 'expectation maximisation'}",
                    help="leave out --em" if self.em else "add --em, or leave it out",
                )

    def run(
        self,
        model: CompiledCircuit,
        rows: Splits,
        recipe: Recipe,
        **common: Any,  # options of both ways, which check them
    ) -> History:
        """Train ``model``; by gradient, ``recipe`` has the values that are not given."""
        import pccompiler as pc

        chosen = given(**{f.name: getattr(self, f.name) for f in fields(self)})
        if chosen.pop("em"):
            iterations = given(iterations=chosen.pop("steps", None))
            return pc.fit_em(model, rows.train, rows.valid, **iterations, **chosen, **common)
        options = {
            name: chosen.get(name, getattr(recipe, name))
            for name in ("steps", "batch_size", "learning_rate", "weight_decay")
        }
        every = chosen.get("evaluate_every", min(recipe.evaluate_every, options["steps"]))
        return pc.fit(model, rows.train, rows.valid, evaluate_every=every, **options, **common)


def report(out: Console, model: CompiledCircuit, rows: Splits, history: History, em: bool) -> None:
    """Print how long the training took, and how well the model fits the rows held out."""
    from pccompiler.torch_backend import mean_log_likelihood

    unit = "iterations of EM" if em else "steps"
    out.print(
        f"trained {history.evaluations[-1].step:,} {unit} in {history.seconds:.1f} s; "
        f"best at {history.best_step:,}"
    )
    for name, value in (("validation", rows.valid), ("test", rows.test)):
        if value is not None:
            mean = mean_log_likelihood(model, model.prepare(value))
            out.print(f"{name} log-likelihood {mean:.4f} nats a row")
