"""Stop-gap: what the IR will say of families."""

from __future__ import annotations

from typing import NamedTuple


class Parameter(NamedTuple):
    name: str
    support: str
    logs: bool = False


class Facts(NamedTuple):
    parameters: tuple[Parameter, ...]
    everywhere: bool


FACTS = {
    "indicator": Facts((), False),
    "bernoulli": Facts((Parameter("probability", "unitinterval"),), False),
    "categorical": Facts((Parameter("probabilities", "simplex"),), False),
    "gaussian": Facts((Parameter("mean", "real"), Parameter("deviation", "positive")), True),
    "binomial": Facts((Parameter("probability", "unitinterval", True),), True),
    "poisson": Facts((Parameter("rate", "nonnegative", True),), True),
    "laplace": Facts((Parameter("location", "real"), Parameter("scale", "positive")), True),
    "histogram": Facts((Parameter("probabilities", "simplex"),), False),
}
