"""The compiled circuit as a torch module."""

from __future__ import annotations

from pccompiler.torch_backend import bounds, branch, expectations, information, rows
from pccompiler.torch_backend.queries import Queries

__all__ = ["CompiledCircuit"]


class CompiledCircuit(Queries):
    """A circuit that evaluates, trains and answers queries (docs/queries.md).

    Attributes:
        circuit: What was compiled, with its sectors and generator.
        plan: How it runs.
        weights: The trainable parameters.
        numerics: How the plan's numeric forms were chosen.
    """

    log_likelihood_stream = rows.log_likelihood_stream
    map = branch.branch_and_bound
    upper_bound = bounds.upper_bound
    entropy = information.entropy
    cross_entropy = information.cross_entropy
    kl = information.kl
    inner_product = information.inner_product
    renyi_entropy = information.renyi_entropy
    expectation = expectations.expectation
    variance = expectations.variance
    covariance = expectations.covariance
