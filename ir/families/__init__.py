"""The families of leaf distributions."""

from pccompiler.ir.families.base import Family
from pccompiler.ir.families.registry import register
from pccompiler.ir.families.supports import (
    Parameter,
    Support,
    nonnegative,
    positive,
    real,
    simplex,
    unit_interval,
)

__all__ = [
    "Family",
    "Parameter",
    "Support",
    "nonnegative",
    "positive",
    "real",
    "register",
    "simplex",
    "unit_interval",
]
