"""The compiled circuit as a torch module."""

from __future__ import annotations

from pccompiler.drawing import inline_svg
from pccompiler.showing import Table, as_html, brief
from pccompiler.torch_backend.queries import classes, constraints
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

    condition_on = constraints.condition_on
    log_probability = constraints.log_probability
    log_joint = classes.log_joint
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

    def __repr__(self) -> str:
        """One line; `torch.nn.Module.named_parameters` lists the parameters."""
        return brief(self, _facts(self))

    def _repr_html_(self) -> str:
        """HTML for notebooks: a picture of the circuit, and what it is compiled to."""
        facts = {**_facts(self), "weights": self.plan.generator, "schedule": self.schedule}
        rows = [
            (name, f"{value:,}" if type(value) is int else "; ".join(str(value).splitlines()))
            for name, value in facts.items()
            if value is not None
        ]
        table = Table(("", "compiled"), rows)
        return as_html(type(self).__name__, [table], inline_svg(self.circuit))


def _facts(model: CompiledCircuit) -> dict[str, object]:
    return {
        "variables": len(model.plan.variables),
        "parameters": model.num_parameters,
        "layers": len(model.plan.layers),
        "device": str(model.device),
        "dtype": model.precision,
    }
