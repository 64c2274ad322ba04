"""The queries of exported files: built in, or declared in ``pccompiler.onnx_queries``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pccompiler.errors import OptionError, closest
from pccompiler.ir.arrays import Float
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.onnx_backend.lower import Lowering
from pccompiler.plugins import Registry, instances


@dataclass(frozen=True, kw_only=True)
class OnnxQuery:
    """A query that an exported file answers with one number for each row.

    Attributes:
        description: What the numbers are; stored in the file.
        write: Adds nodes to ``lowering.graph`` that compute the answers, shape (batch,), from the
            rows, shape (batch, variables); the names of both tensors are given.
        define: The definition: the answers for complete or incomplete rows in float64, and a bound
            on the float32 rounding error of each. A file that exceeds it is not written.
    """

    description: str
    write: Callable[[Lowering, str, str], None]
    define: Callable[[Plan, list[Float], Float], tuple[Float, Float]]


LOG_LIKELIHOOD = OnnxQuery(
    description="Log-likelihood in nats of each row of x; NaN is a missing value, integrated out.",
    write=Lowering.run,
    define=bounded_log_likelihood,
)


def _missing(name: str) -> OptionError:
    return OptionError.of("PC794", f"there is no query {name!r}", help=closest(name, QUERIES))


QUERIES = Registry(
    "pccompiler.onnx_queries",
    {"log_likelihood": LOG_LIKELIHOOD},
    instances(OnnxQuery, "an OnnxQuery"),
    _missing,
)
