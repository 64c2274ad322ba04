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
    """A value of class ``number``; of a real variable one above 0, if the class has any.

    So families over all real numbers and those over positive ones meet in it.
    """
    if variable.domain != "real":
        return float(number)
    if not variable.edges:
        return 0.5
    if number == len(variable.edges) - 1:
        return max(variable.edges[-1], 0.0) + 1.0
    lower, upper = variable.edges[number : number + 2]
    return ((lower if upper <= 0.0 else max(lower, 0.0)) + upper) / 2.0
