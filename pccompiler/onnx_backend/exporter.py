"""Export: a plan and its parameters to a file that ONNX Runtime has been seen to answer right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pccompiler.errors import ExportError, OptionError
from pccompiler.files import replacing
from pccompiler.ir import Variable
from pccompiler.ir.generate import materialize
from pccompiler.ir.interpret import log_likelihood
from pccompiler.ir.layout import lay_out
from pccompiler.ir.plan import Plan
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.lower import Lowering
from pccompiler.onnx_backend.session import run_rows, start_session
from pccompiler.onnx_backend.weights import Parameters, WeightWriter
from pccompiler.version import __version__

TOLERANCE = 1e-5
_ORACLE_VALUES = 5e7  # numbers that the oracle may compute in a check: a few seconds
_MOST_BYTES = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written.

    Attributes:
        path: The file.
        bytes: Its size.
        nodes: Nodes of the graph.
        weights: ``"compact"`` or ``"materialized"``.
        rows_checked: Random rows that ONNX Runtime and the oracle answered.
        max_relative_error: Largest ``|a - b| / max(1, |b|, n / 100)`` among them, n the number of
            variables: float32 rounds each of n terms, also where they cancel (all missing: b = 0).
    """

    path: Path
    bytes: int
    nodes: int
    weights: str
    rows_checked: int
    max_relative_error: float


def export(
    plan: Plan,
    parameters: Parameters,
    path: str | Path,
    *,
    weights: Literal["compact", "materialized"] = "compact",
    fingerprint: str = "",
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> ExportReport:
    """Write the log-likelihood of ``plan`` as an ONNX file; see `pccompiler.export_onnx`.

    Args:
        plan: A plan for float32.
        parameters: By name, as `pccompiler.ir.layout.lay_out` names them.
        path: Where to write.
        weights: Parameters with the hypernetwork as nodes, or the weights that it generates.
        fingerprint: Hash of the circuit's text, for the metadata.
        metadata: Further entries.
        seed: Of the rows that are checked.

    Raises:
        ExportError: If the file cannot be made, or its answers are wrong. Nothing is written then.
    """
    if weights not in ("compact", "materialized"):
        raise OptionError.of(
            "PC302", f"unknown weights {weights!r}", help="use 'compact' or 'materialized'"
        )
    model = build(plan, parameters, compact=weights == "compact")
    entries = {
        "pccompiler.version": __version__,
        "pccompiler.fingerprint": fingerprint,
        "pccompiler.query": "log_likelihood",
        "pccompiler.weights": weights,
        "pccompiler.variables": json.dumps([asdict(v) for v in plan.variables]),
        **(metadata or {}),
    }
    helper.set_model_props(model, entries)
    blob = _checked(model)
    rows = random_rows(plan, seed)
    worst = compare(blob, plan, parameters, rows)
    with replacing(path) as staging:
        staging.write_bytes(blob)
    return ExportReport(
        path=Path(path),
        bytes=len(blob),
        nodes=len(model.graph.node),
        weights=weights,
        rows_checked=len(rows),
        max_relative_error=worst,
    )


def build(plan: Plan, parameters: Parameters, *, compact: bool) -> onnx.ModelProto:
    """The graph: ``x`` (batch, variables) to ``log_likelihood`` (batch,)."""
    graph = Graph()
    names = WeightWriter(graph, plan, lay_out(plan), parameters, compact).write()
    Lowering(graph, plan, names).run("x", "log_likelihood")
    return graph.model(
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", len(plan.variables)])],
        [helper.make_tensor_value_info("log_likelihood", TensorProto.FLOAT, ["batch"])],
        "Log-likelihood in nats of each row of x; NaN is a missing value, integrated out.",
    )


def _checked(model: onnx.ModelProto) -> bytes:
    """The serialized model, after ONNX's own full check."""
    if model.ByteSize() > _MOST_BYTES:
        raise ExportError.of(
            "PC602",
            f"the model takes {model.ByteSize():,} bytes, more than an ONNX file can hold",
            help="export with weights='compact'",
        )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError.of(
            "PC603",
            f"ONNX's checker refuses the graph: {str(error).splitlines()[0]}",
            help="this is a fault of pccompiler: report it with the circuit's text",
        ) from error
    blob: bytes = model.SerializeToString()
    return blob


def random_rows(plan: Plan, seed: int) -> NDArray[np.float64]:
    """Rows to check: random states with 0, 30 and 100 % missing."""
    values_a_row = sum(layer.rows * layer.units for layer in plan.layers)
    number = int(np.clip(_ORACLE_VALUES // max(values_a_row, 1), 9, 300)) // 3
    rng = np.random.default_rng(seed)
    columns = [_column(variable, rng, 3 * number) for variable in plan.variables]
    rows = np.stack(columns, axis=1).astype(np.float64)
    rows[number : 2 * number][rng.random((number, len(columns))) < 0.3] = np.nan
    rows[2 * number + 1 :] = rows[: number - 1]  # the rest, complete again, but for one row of NaN
    rows[2 * number] = np.nan
    return rows


def _column(variable: Variable, rng: np.random.Generator, number: int) -> NDArray[np.generic]:
    if variable.discrete:
        return rng.integers(0, variable.cardinality, number)
    return 2.0 * rng.standard_normal(number)


def compare(blob: bytes, plan: Plan, parameters: Parameters, rows: NDArray[np.float64]) -> float:
    """Largest relative difference of ONNX Runtime from the oracle; refuses more than 1e-5."""
    rounded = rows.astype(np.float32).astype(np.float64)  # the file takes float32
    want = log_likelihood(plan, materialize(plan, lay_out(plan), parameters), rounded)
    got = run_rows(start_session(blob), rounded, batch_size=100)
    with np.errstate(invalid="ignore"):
        errors = np.abs(got - want) / np.maximum(max(1.0, rows.shape[1] / 100), np.abs(want))
    errors = np.where(got == want, 0.0, errors)  # both -inf
    errors = np.where(np.isnan(errors), np.inf, errors)
    worst = int(np.argmax(errors))
    if errors[worst] > TOLERANCE:
        raise ExportError.of(
            "PC601",
            f"ONNX Runtime and the oracle differ by {errors[worst]:.1e} (relative) in check row "
            f"{worst}: {got[worst]:.8g} and {want[worst]:.8g}",
            notes=(
                f"{int((errors > TOLERANCE).sum())} of {len(rows)} rows differ by more than 1e-5",
            ),
            help="nothing was written; compile with numerics='log', or report the circuit",
        )
    return float(errors[worst])
