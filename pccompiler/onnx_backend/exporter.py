"""Exports a plan and its parameters to a file, after ONNX Runtime evaluated it correctly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pccompiler.errors import ExportError, OptionError
from pccompiler.files import write_bytes
from pccompiler.frames import Schema
from pccompiler.ir import Variable
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.digest import KEY, UNSIGNED, sign
from pccompiler.onnx_backend.generators.base import Parameters
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.lower import Lowering
from pccompiler.onnx_backend.metadata import SCHEMA
from pccompiler.onnx_backend.queries import LOG_LIKELIHOOD, QUERIES, OnnxQuery
from pccompiler.onnx_backend.session import run_rows, start_session
from pccompiler.onnx_backend.weights import WeightWriter
from pccompiler.options import is_of, one_of, seed_of, shown
from pccompiler.version import __version__

_CPU = ("CPUExecutionProvider",)
_ORACLE_FLOPS = 1.2e8  # the budget of a check: the oracle takes about a second


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """A summary of an export.

    Attributes:
        path: The file.
        bytes: Its size.
        nodes: Nodes of the graph.
        weights: ``"compact"`` or ``"materialized"``.
        rows_checked: Number of random rows that ONNX Runtime and the oracle evaluated.
        max_relative_error: Largest ``|a - b| / max(1, |b|)`` among them, of answers a and the
            oracle's values b, in nats.
        max_error_in_bounds: Largest ``|a - b|`` as a fraction of the row's float32 rounding bound,
            at most 1: see `pccompiler.ir.plan.rounding`.
    """

    path: Path
    bytes: int
    nodes: int
    weights: str
    rows_checked: int
    max_relative_error: float
    max_error_in_bounds: float


def export(
    plan: Plan,
    parameters: Parameters,
    path: str | Path,
    *,
    weights: Literal["compact", "materialized"] = "compact",
    fingerprint: str = "",
    metadata: Mapping[str, str] | None = None,
    rows_to_check: int | None = None,
    seed: int = 0,
    query: str = "log_likelihood",
) -> ExportReport:
    """Write an ONNX file that answers a query on ``plan``; see `pccompiler.export_onnx`.

    Args:
        plan: A plan for float32.
        parameters: Parameters by the names of `pccompiler.ir.plan.parameters.lay_out`.
        path: Where to write.
        weights: Parameters with the hypernetwork as nodes, or the weights that it generates.
        fingerprint: Hash of the circuit's text, for the metadata.
        metadata: Further entries; their keys must not start with ``pccompiler.``.
        rows_to_check: At least 3; by default as many as the oracle evaluates in about a second,
            from 8 to 64.
        seed: Seed of the rows that are checked.
        query: One of `QUERIES`; its name becomes that of the output.

    Raises:
        ExportError: If the file cannot be made, or its answers are wrong. Nothing is written then.
        OptionError: If an option has an invalid value.
    """
    one_of("weights", weights, ("compact", "materialized"))
    if not is_of(metadata, Mapping | None):
        raise OptionError.of("PC302", f"metadata is {shown(metadata)}", help="give a dict of text")
    rows = random_rows(plan, seed_of(seed), rows_to_check)
    asked = QUERIES.find(query)
    entries = {**_entries(plan, weights, fingerprint, metadata or {}), "pccompiler.query": query}
    _check_parameters(plan, parameters)
    model = build(plan, parameters, compact=weights == "compact", query=query)
    helper.set_model_props(model, entries)
    blob = sign(_checked(model))
    relative, in_bounds = compare(blob, plan, parameters, rows, asked)
    _write(path, blob)
    return ExportReport(
        path=Path(path),
        bytes=len(blob),
        nodes=len(model.graph.node),
        weights=weights,
        rows_checked=len(rows),
        max_relative_error=relative,
        max_error_in_bounds=in_bounds,
    )


def build(
    plan: Plan, parameters: Parameters, *, compact: bool, query: str = "log_likelihood"
) -> onnx.ModelProto:
    """The graph: ``x`` (batch, variables) to an output of the query's name, shape (batch,)."""
    asked = QUERIES.find(query)
    graph = Graph()
    weights = WeightWriter(graph, plan, lay_out(plan), parameters, compact)
    asked.write(Lowering(graph, plan, weights), "x", query)
    return graph.model(
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", len(plan.variables)])],
        [helper.make_tensor_value_info(query, TensorProto.FLOAT, ["batch"])],
        asked.description,
    )


def _entries(
    plan: Plan, weights: str, fingerprint: str, further: Mapping[str, str]
) -> dict[str, str]:
    """The file's metadata. The caller's entries cannot replace pccompiler's."""
    if not all(is_of(text, str) for entry in further.items() for text in entry):
        raise OptionError.of("PC302", "metadata has entries that are not text", help="use str(...)")
    taken = sorted(key for key in further if key.startswith("pccompiler."))
    if taken:
        raise OptionError.of(
            "PC302",
            f"metadata key {taken[0]!r} is reserved",
            help="use keys that do not start with 'pccompiler.'",
        )
    schema = Schema.of(plan.variables)
    return {
        KEY: UNSIGNED,  # first, so that no entry of the caller is mistaken for it
        "pccompiler.version": __version__,
        "pccompiler.fingerprint": fingerprint,
        "pccompiler.weights": weights,
        "pccompiler.variables": json.dumps([_facts(v) for v in plan.variables]),
        **({} if schema is None else {SCHEMA: json.dumps(schema.as_dict())}),
        **further,
    }


def _facts(variable: Variable) -> dict[str, Any]:
    """What the text of a circuit says about a variable."""
    return {name: value for name, value in asdict(variable).items() if name != "source"}


def _check_parameters(plan: Plan, parameters: Parameters) -> None:
    """Refuse parameters whose names or shapes differ from the layout, and NaN; list all of them."""
    wanted = lay_out(plan).shapes
    found = {name: tuple(np.shape(value)) for name, value in parameters.items()}
    notes = [f"{n} is missing, shape {wanted[n]}" for n in wanted if n not in found]
    notes += [f"{n} is not a parameter of the plan" for n in found if n not in wanted]
    for name in (n for n in wanted if n in found):
        if found[name] != wanted[name]:
            notes.append(f"{name} has shape {found[name]}, not {wanted[name]}")
        elif np.isnan(parameters[name]).any():
            notes.append(f"{name} holds NaN")
    if notes:
        raise ExportError.of(
            "PC607",
            "the parameters do not fit the plan",
            notes=notes,
            help="give the parameters of the model that the plan was made for",
        )


def _write(path: str | Path, blob: bytes) -> None:
    try:
        write_bytes(path, blob)
    except OSError as error:
        raise ExportError.of(
            "PC609", f"{path} cannot be written: {error.strerror}", help="choose another path"
        ) from error


def _checked(model: onnx.ModelProto) -> bytes:
    """The serialized model, after ONNX's own full check."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError.of(
            "PC603",
            f"ONNX's checker rejects the graph: {str(error).splitlines()[0]}",
            help="this is a bug in pccompiler: report it with the circuit's text",
        ) from error
    blob: bytes = model.SerializeToString()
    return blob


def random_rows(plan: Plan, seed: int, number: int | None = None) -> NDArray[np.float64]:
    """Rows to check: a third complete, a third with 30 % missing, the rest from 30 to 100 %."""
    if number is None:
        number = int(np.clip(_ORACLE_FLOPS // max(plan.cost(1).flops, 1), 8, 64))
    if number < 3:
        raise OptionError.of("PC302", f"rows_to_check is {number}", help="check at least 3 rows")
    rng = np.random.default_rng(seed)
    columns = [_column(variable, rng, number) for variable in plan.variables]
    rows = np.stack(columns, axis=1).astype(np.float64)
    third = number // 3
    rates = np.linspace(0.3, 1.0, number - 2 * third) if number > 3 else np.ones(1)
    rates = np.concatenate([np.zeros(third), np.full(third, 0.3), rates])
    rows[rng.random(rows.shape) < rates[:, None]] = np.nan
    return rows


def _column(variable: Variable, rng: np.random.Generator, number: int) -> NDArray[np.generic]:
    if variable.discrete:
        return rng.integers(0, variable.cardinality, number)
    if variable.domain == "count":
        return np.floor(rng.exponential(8.0, number))
    if variable.edges:  # most of them in some bin
        low, high = variable.edges[0], variable.edges[-1]
        return rng.normal(0.5 * (low + high), 0.4 * (high - low), number)
    return 2.0 * rng.standard_normal(number)


def compare(
    blob: bytes,
    plan: Plan,
    parameters: Parameters,
    rows: NDArray[np.float64],
    query: OnnxQuery = LOG_LIKELIHOOD,
) -> tuple[float, float]:
    """Compare ONNX Runtime's answers with the oracle's.

    Returns:
        The largest relative difference, and the largest one as a fraction of the row's bound: see
        `ExportReport`.

    Raises:
        ExportError: If a row differs by more than its bound from `pccompiler.ir.plan.rounding`.
    """
    rounded = rows.astype(np.float32).astype(np.float64)  # the file takes float32
    weights = materialize(plan, lay_out(plan), parameters)
    want, allowed = query.define(plan, weights, rounded)
    got = run_rows(start_session(blob, _CPU), rounded, batch_size=100)
    with np.errstate(invalid="ignore"):
        errors = np.where(got == want, 0.0, np.abs(got - want))  # both may be -inf
    errors = np.where(np.isnan(errors), np.inf, errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(errors == 0.0, 0.0, errors / allowed)
    worst = int(np.argmax(parts))
    if parts[worst] > 1.0:
        raise ExportError.of(
            "PC601",
            f"ONNX Runtime and the oracle differ by {errors[worst]:.1e} nats in check row {worst}, "
            f"but rounding explains {allowed[worst]:.1e}: {got[worst]:.8g} and {want[worst]:.8g}",
            notes=(
                f"{int((parts > 1.0).sum())} of {len(rows)} rows differ by more than rounding "
                "explains",
                f"row {worst} is {np.array2string(rounded[worst], threshold=20, edgeitems=8)}",
            ),
            help=_way_out(want, got, weights),
        )
    relative = errors / np.maximum(1.0, np.abs(np.where(np.isinf(want), 0.0, want)))
    return float(relative.max()), float(parts[worst])


def _way_out(
    want: NDArray[np.float64], got: NDArray[np.float64], weights: list[NDArray[np.float64]]
) -> str:
    """The help text for answers that differ."""
    least = min((float(w[w > 0.0].min()) for w in weights if (w > 0.0).any()), default=1.0)
    if least < np.finfo(np.float32).tiny or (np.isinf(got) & np.isfinite(want)).any():
        return (
            f"nothing was written; float32 cannot hold parameters as small as {least:.1e}: set "
            "such weights to 0, or train with a floor"
        )
    return (
        "nothing was written; another onnxruntime may be at fault, or pccompiler: report the "
        "circuit's text with the version of onnxruntime"
    )
