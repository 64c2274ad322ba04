"""Writes circuits as Mermaid flowcharts, which GitHub and JupyterLab draw from text.

Source: https://mermaid.js.org/syntax/flowchart.html, with its entity codes for special characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pccompiler.drawing.labels import distinct_edges, weight_text
from pccompiler.drawing.scene import INK, colors
from pccompiler.drawing.words import node_lines, printable
from pccompiler.ir import Circuit, Kind

_SPECIAL = re.compile(r"[^\w ,=.]|\.(?!\d)|(?<!\d)\.", re.ASCII)
"""What may not stand as itself between quotes; ``1.`` at the start would be read as a list."""


def to_mermaid(circuit: Circuit) -> str:
    """The circuit as a Mermaid flowchart, one line for each node and edge, the root on top.

    Mermaid draws at most 500 edges unless its configuration raises ``maxEdges``.
    """
    lines = ["flowchart TD"]
    lines += [f"  n{node}{_node(circuit, node)}" for node in range(circuit.num_nodes)]
    upper, lower, first = distinct_edges(circuit)
    for a, b, position in zip(upper.tolist(), lower.tolist(), first.tolist(), strict=True):
        weight = weight_text(circuit, a, b, position)
        label = f'|"{_escaped([weight])}"|' if weight else ""
        lines.append(f"  n{a} ---{label} n{b}")
    for kind in Kind:
        if (circuit.kind == kind).any():
            fill, line = colors(kind)
            lines.append(f"  classDef {kind.keyword} fill:{fill},stroke:{line},color:{INK}")
    return "\n".join([*lines, ""])


def _node(circuit: Circuit, node: int) -> str:
    kind, text = Kind(int(circuit.kind[node])), _escaped(node_lines(circuit, node))
    shape = f'["{text}"]' if kind == Kind.INPUT else f'(["{text}"])'
    return f"{shape}:::{kind.keyword}"


def _escaped(lines: Sequence[str]) -> str:
    return "<br/>".join(
        _SPECIAL.sub(lambda found: f"#{ord(found[0])};", printable(line)) for line in lines
    )
