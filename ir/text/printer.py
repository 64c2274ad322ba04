"""Prints the text form, one line per node. `pccompiler.ir.text.parser` reads it."""

from __future__ import annotations

from pccompiler.ir.families.base import registered
from pccompiler.ir.generators import Generator, Sectors
from pccompiler.ir.generators.base import Option
from pccompiler.ir.kinds import Kind
from pccompiler.ir.node_table import NodeTable
from pccompiler.ir.variables import Variable

HEADER = "pcir 1"


def to_text(circuit: NodeTable, *, values: bool = True) -> str:
    """The text form of ``circuit``; ``parse`` returns an equal circuit.

    Args:
        circuit: Any circuit, well-formed or not.
        values: Whether to write given weight values too.
    """
    lines = [HEADER]
    lines += [_variable_line(v) for v in circuit.variables]
    lines += _node_lines(circuit)
    lines.append(f"root {circuit.label(circuit.root)}")
    if circuit.log_scale != 0.0:
        lines.append(f"scale {circuit.log_scale!r}")
    if values:
        lines += _value_lines(circuit)
    if circuit.sectors is not None:
        lines += _sector_lines(circuit, circuit.sectors)
    if circuit.generator is not None:
        lines.append(generator_line(circuit.generator))
    return "\n".join(lines) + "\n"


def _sector_lines(circuit: NodeTable, sectors: Sectors) -> list[str]:
    """``sectors by=rows size=4 mixtures=false``; for own sectors, one ``sector @w 0 5 2`` each."""
    if sectors.by != "own":
        mixtures = str(sectors.mixtures).lower()
        return [f"sectors by={sectors.by} size={sectors.size} mixtures={mixtures}"]
    columns = (sectors.weight, sectors.offset, sectors.rows, sectors.columns)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    label = circuit.weights.label
    return ["sectors by=own"] + [f"sector {label(w)} {o} {r} {c}" for w, o, r, c in rows]


def generator_line(generator: Generator) -> str:
    """``generator hypernetwork embedding=5 hidden=20x20 ...`` or ``generator direct ...``."""
    options = [f"{name}={_option(value)}" for name, value in generator.options().items()]
    return " ".join(["generator", generator.keyword, *options])


def _option(value: Option) -> str:
    """``5``, ``1e-12``, ``true``, ``slice``, ``20x20``; of no widths, ``none``."""
    if isinstance(value, tuple):
        return "x".join(str(width) for width in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _variable_line(variable: Variable) -> str:
    tail = f" {variable.cardinality}" if variable.domain == "categorical" else ""
    if variable.edges:
        tail = " edges " + " ".join(repr(edge) for edge in variable.edges)
    return f"variable {variable.name} {variable.domain}{tail}"


def _node_lines(circuit: NodeTable) -> list[str]:
    """One line per node. Plain loops over Python lists are the fastest way to format text."""
    names = [v.name for v in circuit.variables]
    labels = [f"%{i}" for i in range(circuit.num_nodes)]
    for node, name in circuit.names.items():
        labels[node] = f"%{name}"
    weights = [f" @{i}" for i in range(len(circuit.weights))]
    for weight, name in circuit.weights.names.items():
        weights[weight] = f" @{name}"
    weights.append("")  # weight -1: none
    keywords = [f" = {kind.keyword}" for kind in Kind]
    families = [family.keyword for family in registered()]
    pointer, operands = circuit.pointer.tolist(), circuit.operands.tolist()
    kinds, units, weight = circuit.kind.tolist(), circuit.units.tolist(), circuit.weight.tolist()
    family, variable = circuit.family.tolist(), circuit.variable.tolist()
    lines: list[str] = []
    for i, kind in enumerate(kinds):
        if kind == Kind.INPUT:
            tail = f" {names[variable[i]]} {families[family[i]]} {units[i]}"
        else:
            tail = "".join([f" {labels[j]}" for j in operands[pointer[i] : pointer[i + 1]]])
            if kind == Kind.SUM:
                tail = f" {units[i]}{tail}"
        lines.append(f"{labels[i]}{keywords[kind]}{tail}{weights[weight[i]]}")
    return lines


def _value_lines(circuit: NodeTable) -> list[str]:
    lines: list[str] = []
    for weight in sorted(circuit.weights.values):
        rows = circuit.weights.values[weight].tolist()
        text = " ; ".join(" ".join(repr(value) for value in row) for row in rows)
        lines.append(f"weight {circuit.weights.label(weight)} {text}")
    return lines
