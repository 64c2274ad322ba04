"""Reads the variables of an exported file from its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pccompiler.errors import ExportError, OptionError
from pccompiler.frames import Schema
from pccompiler.ir import Variable, binary, categorical, count, real
from pccompiler.ir.names import is_name
from pccompiler.reading import parse_json

SCHEMA: Final = "pccompiler.schema"


def read_variables(
    session: Any,  # of onnxruntime, which has no type information
    metadata: Mapping[str, str],
    path: Path,
) -> tuple[Variable, ...]:
    """The variables of an exported file, in the order of its columns.

    Raises:
        ExportError: If pccompiler did not write the file, or its metadata and graph disagree.
    """
    try:
        listed = parse_json(metadata["pccompiler.variables"])
        entries: list[Any] = listed if isinstance(listed, list) else [None]  # of any JSON
        variables = tuple(_variable(entry) for entry in entries)
        fits = _signature(session, len(variables), metadata.get("pccompiler.query"))
    except (KeyError, TypeError, ValueError):  # OptionError is a ValueError
        fits, variables = False, ()
    if not fits:
        raise ExportError.of(
            "PC606",
            f"{path} is an ONNX file, but pccompiler did not write it",
            help="give a file written by pccompiler.export_onnx",
        ) from None
    return variables


def read_schema(
    metadata: Mapping[str, str], variables: Sequence[Variable], path: Path
) -> Schema | None:
    """The schema of an exported model, if it had one.

    Raises:
        ExportError: If it is damaged, or does not fit the variables.
    """
    if SCHEMA not in metadata:
        return None
    try:
        return Schema.from_dict(parse_json(metadata[SCHEMA])).ordered_like(variables)
    except ValueError as error:
        raise ExportError.of(
            "PC606",
            f"the schema in {path} cannot be used",
            notes=(f"cause: {(str(error).splitlines() or [''])[0]}",),
            help="export the model again",
        ) from None


def _variable(entry: Any) -> Variable:  # of any JSON
    name, domain, cardinality = entry["name"], entry["domain"], entry["cardinality"]
    if not isinstance(name, str) or not is_name(name) or type(cardinality) is not int:
        raise TypeError
    if domain == "categorical":
        return categorical(name, cardinality)
    made = {
        "binary": lambda: binary(name),
        "count": lambda: count(name),
        "real": lambda: real(name, entry.get("edges", ())),
    }[domain]()
    if made.cardinality != cardinality:
        raise OptionError.of("PC301", f"{domain} variable {name!r} has {cardinality} states")
    return made


def _signature(session: Any, columns: int, query: str | None) -> bool:
    """Whether the graph takes ``x`` (batch, columns) and returns the query's answers (batch,)."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return (
        [i.name for i in inputs] == ["x"]
        and len(inputs[0].shape) == 2
        and inputs[0].shape[1] == columns > 0
        and inputs[0].type == "tensor(float)"
        and [o.name for o in outputs] == [query or "log_likelihood"]
        and len(outputs[0].shape) == 1
        and outputs[0].type == "tensor(float)"
    )
