"""Circuits as files: the text, with weights inline or in a safetensors file next to it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from pccompiler.errors import OptionError, ParseError
from pccompiler.files import write_bytes
from pccompiler.ir.arrays import Float
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.text.parser import parse
from pccompiler.ir.text.printer import to_text
from pccompiler.reading import parse_json, read_regular, read_text

_LINE = re.compile(r'^weights "([^"/\\]+)" sha256=([0-9a-f]{64})\s*(?:#.*)?$', re.MULTILINE)
_LABELS = "labels"


def write_circuit(
    circuit: Circuit, path: str | Path, *, weights: Literal["inline", "file", "none"] = "inline"
) -> Path:
    """Write a circuit as text.

    Args:
        circuit: Any circuit.
        path: The text file, such as ``garden.pcir``.
        weights: Where to write given values. ``"inline"``: in the text. ``"file"``: exactly, in
            float64, to ``garden.safetensors`` next to it; the text records the name and hash.
            ``"none"``: nowhere.

    Raises:
        OptionError: If ``weights`` has another value.
    """
    target = Path(path)
    if weights not in ("inline", "file", "none"):
        raise OptionError.of(
            "PC302", f"unknown weights {weights!r}", help="use 'inline', 'file' or 'none'"
        )
    text = to_text(circuit, values=weights == "inline")
    if weights == "file" and circuit.weights.values:
        blob = _packed(circuit)
        beside = target.with_suffix(".safetensors")
        write_bytes(beside, blob)  # first, so that a text never names a file that does not exist
        text += f'weights "{beside.name}" sha256={hashlib.sha256(blob).hexdigest()}\n'
    write_bytes(target, text.encode())
    return target


def read_circuit(path: str | Path) -> Circuit:
    """Read a circuit that `write_circuit` wrote, with its weights.

    Raises:
        ParseError: If the text cannot be read, or its weights file is missing or does not match.
        LimitError: If it takes more than `pccompiler.limits` allow.
        OSError: If the text file cannot be read, or is not a regular file.
    """
    source = Path(path)
    try:
        text = read_text(source)
    except UnicodeDecodeError as error:
        raise ParseError.of(
            "PC201",
            f"the file is not text in UTF-8: byte {error.start} cannot be read",
            location=str(source),
            help="give the .pcir file as it was written; it may be damaged",
        ) from None
    return parse_beside(text, source)


def parse_beside(text: str, source: Path) -> Circuit:
    """Parse the text of the file ``source``, with the weights file next to it, if it names one.

    Raises:
        ParseError: If the text cannot be read, or its weights file is missing or does not match.
    """
    found = _LINE.search(text)
    if found is None:
        return parse(text, str(source))
    line = text.count("\n", 0, found.start()) + 1
    values = _unpacked(source, line, found[1], found[2])
    text = text[: found.start()] + text[found.end() :]
    return parse(text, str(source), values=values)


def _packed(circuit: Circuit) -> bytes:
    """Values stacked by shape, so that many small weights become few tensors."""
    from safetensors.numpy import save  # imported here, as other files do not need it

    shapes: dict[tuple[int, ...], list[int]] = {}
    for weight in sorted(circuit.weights.values):
        shapes.setdefault(circuit.weights.values[weight].shape, []).append(weight)
    tensors: dict[str, Float] = {}
    labels: dict[str, list[str]] = {}
    for shape, weights in sorted(shapes.items()):
        name = "x".join(str(size) for size in shape)
        tensors[name] = np.stack([circuit.weights.values[weight] for weight in weights])
        labels[name] = [circuit.weights.label(weight)[1:] for weight in weights]
    return save(tensors, metadata={_LABELS: json.dumps(labels)})


def _unpacked(source: Path, line: int, name: str, digest: str) -> Mapping[str, Float]:
    """Values by label, from the file that a text names; read once, so that the hash covers them."""
    from safetensors import SafetensorError

    def wrong(why: str, way_out: str) -> ParseError:
        return ParseError.of(
            "PC213",
            f"the weights file {source.parent / name} {why}",
            location=f"{source}:{line}",
            help=way_out,
        )

    try:
        blob = read_regular(source.parent / name)
    except OSError as error:
        raise wrong(
            f"cannot be read: {error.strerror}", "put it next to the text, or remove the line"
        ) from None
    if hashlib.sha256(blob).hexdigest() != digest:
        raise wrong("does not have the hash given in the text", "write the circuit again")
    try:
        return _tables(blob)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise wrong(f"is malformed: {error}", "write the circuit again") from None


def _tables(blob: bytes) -> dict[str, Float]:
    """Values by label, from the form of `_packed`: for each shape a tensor and a list of labels."""
    from safetensors.numpy import load

    tensors = load(blob)
    header: Any = parse_json(blob[8 : 8 + int.from_bytes(blob[:8], "little")])  # checked by load
    labels = parse_json(header["__metadata__"][_LABELS])
    if not isinstance(labels, dict) or not all(isinstance(v, list) for v in labels.values()):
        raise ValueError("its labels are not lists by tensor")
    result: dict[str, Float] = {}
    for tensor, names in cast("dict[str, list[object]]", labels).items():
        tables = tensors[tensor]
        if tables.ndim != 3 or tables.dtype.kind != "f":
            raise ValueError(f"tensor {tensor!r} does not hold stacked tables of numbers")
        for label, table in zip(names, tables.astype(np.float64, copy=False), strict=True):
            if not isinstance(label, str) or label in result:
                raise ValueError(f"{label!r} is not a valid label, or is used twice")
            result[label] = table
    return result
