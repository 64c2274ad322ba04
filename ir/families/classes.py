"""Classes of values that supports of leaves can distinguish."""

from __future__ import annotations

from pccompiler.ir.variables import Variable


def classes(variable: Variable) -> int:
    """Number of classes: states; zero and positive counts; bins of a real variable, and outside."""
    if variable.discrete:
        return variable.cardinality
    if variable.domain == "count":
        return 2
    return len(variable.edges) or 1


def representative(variable: Variable, number: int) -> float:
    """A value of class ``number``."""
    if variable.domain != "real":
        return float(number)
    if not variable.edges:
        return 0.0
    if number == len(variable.edges) - 1:
        return variable.edges[-1] + 1.0
    return (variable.edges[number] + variable.edges[number + 1]) / 2.0
