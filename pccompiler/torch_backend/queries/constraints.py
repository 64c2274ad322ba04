"""Logical constraints: their probability, and the distribution of the worlds that satisfy them.

Source:
    Choi, Van den Broeck and Darwiche (2015), "Tractable Learning for Structured Probability
    Spaces"; Xu et al. (2018), "A Semantic Loss Function for Deep Learning with Symbolic Knowledge".
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Circuit, Direct
from pccompiler.passes import plan
from pccompiler.passes.check.precision import check_domains
from pccompiler.passes.constraints import Listed, constrain, formula
from pccompiler.torch_backend.queries.information.information import log_overlap
from pccompiler.torch_backend.queries.queries import Queries

_Model = TypeVar("_Model", bound=Queries)


def condition_on(model: _Model, constraint: Circuit) -> _Model:
    """A model of p(x | constraint): of the worlds where ``constraint`` is positive, normalized.

    It answers every query, over the same variables, on the same device and in the same precision.
    Its parameters are copies; a hypernetwork is replaced by the weights that it generates.

    Args:
        model: A compiled circuit.
        constraint: A formula as a circuit over some of the model's variables, all of them discrete:
            read from an SDD, NNF, D4 or PSDD file, or built. Only where it is positive matters.
            It must be deterministic and compatible with the model's circuit, or its variables
            have at most 65,536 joint states.

    Raises:
        CircuitError: If the constraint has other variables, has probability 0, or can neither be
            multiplied nor listed.
        OptionError: If it is not a circuit.
    """
    joint = constrain(model.trained_circuit(), constraint)
    return _compiled_like(model, joint.replace(log_scale=0.0), model.dtype)


def log_probability(model: Queries, constraint: Circuit) -> Tensor:
    """The log-probability of a constraint, a scalar in nats; ``-inf`` if no world satisfies it.

    Differentiable in the model's weights: its negative is the semantic loss of the constraint.

    Args:
        model: A compiled circuit.
        constraint: As for `condition_on`.

    Raises:
        CircuitError: As `condition_on`, except for a constraint of probability 0.
        OptionError: If it is not a circuit.
    """
    form = formula(model.circuit, constraint)
    if isinstance(form, Circuit):
        ones = _compiled_like(model, form, torch.float64)
        return log_overlap(model, ones) + form.log_scale
    return _log_probability_of_worlds(model, form)


def _log_probability_of_worlds(model: Queries, listed: Listed) -> Tensor:
    """The logarithm of the sum of the marginals of all joint states that are allowed."""
    rows = model.nothing(int(listed.allowed.sum()))
    states = torch.from_numpy(np.argwhere(listed.allowed)).to(rows)
    rows[:, list(listed.columns)] = states
    logs = model.log_likelihood(rows, check=False)
    return logs.double().logsumexp(0) - model.plan.log_scale


def _compiled_like(model: _Model, circuit: Circuit, dtype: torch.dtype) -> _Model:
    """A model of ``circuit`` on the device of ``model``; its weights are exactly those given."""
    precision: Literal["float32", "float64"]
    precision = "float64" if dtype == torch.float64 else "float32"
    check_domains(circuit, precision)
    exact = circuit.replace(generator=Direct(floor=0.0))
    result = type(model)(
        exact,
        plan(exact, dtype=precision, numerics=model.numerics),
        device=model.device,
        dtype=dtype,
        seed=0,  # nothing is left to draw: all values are given
        numerics=model.numerics,
    )
    result.set_weights(circuit.weights.values)
    return result
