"""Tools for tests, including yours: brute-force evaluation, random weights, random circuits.

`pccompiler.testing.strategies` needs hypothesis and must be imported separately.
"""

from pccompiler.testing.enumeration import density, marginal, total_mass, worlds
from pccompiler.testing.random_circuits import random_circuit
from pccompiler.testing.random_weights import random_weights, with_values

__all__ = [
    "density",
    "marginal",
    "random_circuit",
    "random_weights",
    "total_mass",
    "with_values",
    "worlds",
]
