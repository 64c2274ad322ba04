"""Writes circuits in DOT, the language of Graphviz.

Source: the DOT grammar and escString, https://graphviz.org/doc/info/lang.html.
"""

from __future__ import annotations

from collections.abc import Sequence

from pccompiler.drawing.labels import distinct_edges, weight_text
from pccompiler.drawing.scene import FAINT, INK, colors
from pccompiler.drawing.words import node_lines, node_title, printable
from pccompiler.ir import Circuit, Kind


def to_graphviz(circuit: Circuit) -> str:
    """The circuit as DOT text, one line for each node and edge, the root on top.

    Nodes are called ``n0``, ``n1``, ... by their ids. Edges of scalar sums have their weights as
    labels where these are given; tooltips have the names, scopes and source lines.
    """
    lines = [
        "digraph circuit {",
        "  graph [ordering=out];",
        f'  node [style=filled, fontname="Helvetica", fontsize=11, fontcolor="{INK}"];',
        f'  edge [dir=none, fontname="Helvetica", fontsize=10, color="{FAINT}"];',
    ]
    lines += [_node(circuit, node) for node in range(circuit.num_nodes)]
    upper, lower, first = distinct_edges(circuit)
    for a, b, position in zip(upper.tolist(), lower.tolist(), first.tolist(), strict=True):
        weight = weight_text(circuit, a, b, position)
        lines.append(f"  n{a} -> n{b}" + (f" [label={_quoted([weight])}];" if weight else ";"))
    return "\n".join([*lines, "}", ""])


def _node(circuit: Circuit, node: int) -> str:
    kind = Kind(int(circuit.kind[node]))
    fill, line = colors(kind)
    shape = "box" if kind == Kind.INPUT else "ellipse"
    return (
        f"  n{node} [label={_quoted(node_lines(circuit, node))}, shape={shape}, "
        f'fillcolor="{fill}", color="{line}", '
        f"tooltip={_quoted(node_title(circuit, node).splitlines())}];"
    )


def _quoted(lines: Sequence[str]) -> str:
    """Lines of text as a string, in which backslashes, quotes and ``&`` are special."""
    escaped = (
        printable(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
        for line in lines
    )
    return '"' + "\\n".join(escaped) + '"'
