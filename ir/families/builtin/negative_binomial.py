"""Negative binomial distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Columns, Family, Variables
from pccompiler.ir.families.counting import log_factorial, log_gamma, times_log
from pccompiler.ir.families.supports import Parameter, positive, unit_interval
from pccompiler.ir.families.tails import log_beta_tails


class NegativeBinomial(Family):
    """Failures before a number of successes, which need not be whole.

    A Poisson distribution whose rate is gamma distributed: a count of more variance than mean.
    """

    keyword = "negative_binomial"
    domains = ("count",)
    parameters = (
        Parameter("successes", positive),
        Parameter("p", unit_interval, words="probability", logs=True),
    )
    everywhere = True
    in_float64 = True
    work = (7, 2, 7)

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """Ways to order failures and successes, and the probability of each."""
        successes, p = parameters
        ways = log_gamma(x + successes) - log_gamma(successes) - log_factorial(x)
        return np.asarray(ways + successes * np.log(p) + times_log(x, 1.0 - p))

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """The regularised incomplete beta functions."""
        successes, p = parameters
        log_beta = log_gamma(successes) + log_factorial(x) - log_gamma(successes + x + 1.0)
        return log_beta_tails(successes, x + 1.0, p, log_beta)
