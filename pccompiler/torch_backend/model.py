"""The compiled circuit as a torch module."""

from __future__ import annotations

from pccompiler.torch_backend.queries.expectations import expectations
from pccompiler.torch_backend.queries.information import information
from pccompiler.torch_backend.queries.map import bounds, branch_and_bound
from pccompiler.torch_backend.queries.queries import Queries
from pccompiler.torch_backend.queries.stream import log_likelihood_stream

__all__ = ["CompiledCircuit"]


class CompiledCircuit(Queries):
    """A circuit that evaluates, trains and answers queries (docs/reference/queries.md).

    Attributes:
        circuit: The compiled circuit, with its sectors and generator.
        plan: The plan that is evaluated.
        weights: The trainable parameters.
        numerics: How the plan's numeric forms were chosen.
    """

    log_likelihood_stream = log_likelihood_stream
    map = branch_and_bound.branch_and_bound
    upper_bound = bounds.upper_bound
    entropy = information.entropy
    cross_entropy = information.cross_entropy
    kl = information.kl
    inner_product = information.inner_product
    renyi_entropy = information.renyi_entropy
    expectation = expectations.expectation
    variance = expectations.variance
    covariance = expectations.covariance
