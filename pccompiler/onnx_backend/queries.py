"""What exported files can answer: ours, and what ``pccompiler.onnx_queries`` declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from pccompiler.ir.arrays import Float
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.onnx_backend.lower import Lowering
from pccompiler.plugins import Registry


@dataclass(frozen=True, kw_only=True)
class OnnxQuery:
    """A question that an exported file answers with one number for each row.

    Attributes:
        description: What the numbers are; it stands in the file.
        write: Adds nodes to ``lowering.graph`` that go from the rows, shape (batch, variables), to
            the answers, shape (batch,); the names of both tensors are given.
        define: The definition: the answers for complete or incomplete rows in float64, and how far
            rounding to float32 may take each from that. No file that is further off is written.
    """

    description: str
    write: Callable[[Lowering, str, str], None]
    define: Callable[[Plan, list[Float], Float], tuple[Float, Float]]


def _is_query(thing: object) -> TypeGuard[OnnxQuery]:
    return isinstance(thing, OnnxQuery)


LOG_LIKELIHOOD = OnnxQuery(
    description="Log-likelihood in nats of each row of x; NaN is a missing value, integrated out.",
    write=Lowering.run,
    define=bounded_log_likelihood,
)
QUERIES = Registry(
    "pccompiler.onnx_queries", {"log_likelihood": LOG_LIKELIHOOD}, _is_query, "an OnnxQuery"
)
