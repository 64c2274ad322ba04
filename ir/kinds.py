"""The closed vocabularies of the IR: node kinds and leaf families."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """What a node computes from its operands, unit by unit."""

    INPUT = 0
    """A family of distributions over one variable, one distribution a unit."""
    PRODUCT = 1
    """Elementwise product of operands of equal width."""
    KRONECKER = 2
    """Every product of one unit of each operand; the last operand's unit varies fastest."""
    SUM = 3
    """Dense: each unit mixes all units of all operands; weights have shape (units, fan-in)."""
    MIXTURE = 4
    """Unit u mixes unit u of each operand; weights have shape (units, operands)."""

    @property
    def keyword(self) -> str:
        """The word in the text form."""
        return self.name.lower()


SUMS = (Kind.SUM, Kind.MIXTURE)
PRODUCTS = (Kind.PRODUCT, Kind.KRONECKER)


class Family(IntEnum):
    """Leaf families. All but `INDICATOR` have one parameter row a unit."""

    INDICATOR = 0
    """Unit j is 1 where the variable has state j; no parameters; units = cardinality."""
    BERNOULLI = 1
    """Binary variable; parameters (units, 1): the probability of state 1."""
    CATEGORICAL = 2
    """Binary or categorical variable; parameters (units, cardinality): probabilities."""
    GAUSSIAN = 3
    """Real variable; parameters (units, 2): mean and standard deviation."""
    BINOMIAL = 4
    """Discrete variable, states 0 ... trials; parameters (units, 1): probability of success."""
    POISSON = 5
    """Count; parameters (units, 1): rate."""
    LAPLACE = 6
    """Real variable; parameters (units, 2): location and scale."""
    HISTOGRAM = 7
    """Real variable with edges; parameters (units, bins): the probability of each bin."""

    @property
    def keyword(self) -> str:
        """The word in the text form."""
        return self.name.lower()


TABLES = (Family.INDICATOR, Family.BERNOULLI, Family.CATEGORICAL)
"""Families whose density is a row of a table by state; of the others backends form logarithms."""
SIMPLEX = (Family.CATEGORICAL, Family.HISTOGRAM)
"""Families whose parameters are probabilities that sum to one."""
