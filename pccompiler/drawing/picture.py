"""Pictures of circuits: node by node, region by region, or depth by depth."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pccompiler.drawing.bars import draw_bars
from pccompiler.drawing.graphviz import to_graphviz
from pccompiler.drawing.layout.region_graph import find_regions
from pccompiler.drawing.mermaid import to_mermaid
from pccompiler.drawing.nodes import draw_nodes
from pccompiler.drawing.regions import boxes_drawn, draw_regions
from pccompiler.drawing.scene import Scene, with_caption
from pccompiler.drawing.svg import to_svg
from pccompiler.errors import OptionError
from pccompiler.files import write_bytes
from pccompiler.ir import Circuit
from pccompiler.options import as_float, shown

What = Literal["auto", "circuit", "regions", "layers"]
READABLE = 800
"""The most nodes or boxes in a picture chosen by ``"auto"``."""
WIDEST, HIGHEST = 4_000.0, 6_000.0
"""The largest size of such a picture, in pixels."""
MOST = 50_000
"""The most nodes or boxes in any picture."""
INLINE = 400
"""The most nodes in a picture within a notebook, which is stored in the notebook's file."""
_TEXTS = {".dot": to_graphviz, ".mmd": to_mermaid}
ENDINGS = (".svg", ".png", *_TEXTS)


def draw(circuit: Circuit, path: str | Path, *, what: What = "auto", scale: float = 2.0) -> Path:
    """Draw ``circuit`` to ``path``, which appears whole or not at all.

    Args:
        circuit: Any circuit, well-formed or not.
        path: A file name, whose extension selects the format: ``.svg``, ``.png``, or the text of
            all nodes and edges for another program, ``.dot`` (Graphviz) or ``.mmd`` (Mermaid).
        what: ``"circuit"`` draws every node; ``"regions"`` a box for each scope; ``"layers"`` a bar
            for each depth and kind of node; ``"auto"`` chooses the first of these that is readable.
            The caption says what is drawn together.
        scale: Resolution of a PNG: its pixels per pixel of the SVG.

    Raises:
        OptionError: If the extension is another one, there is too much to draw, or ``what`` is
            ``"regions"`` or ``"layers"`` for a format that only has nodes and edges.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise OptionError.of(
            "PC396",
            f"the ending of {target.name!r} is not that of a picture of a circuit",
            help=f"use one of {', '.join(ENDINGS)}",
        )
    if ending in _TEXTS:
        content = as_text(circuit, ending, what).encode()
    elif ending == ".svg":
        content = to_svg(picture(circuit, what)).encode()
    else:
        from pccompiler.drawing.png import to_png

        content = to_png(picture(circuit, what), _usable(scale))
    write_bytes(target, content)
    return target


def _usable(scale: object) -> float:
    number = as_float(scale)
    if number is None or not 0.05 <= number <= 100.0:
        raise OptionError.of(
            "PC302", f"scale is {shown(scale)}", help="give a number from 0.05 to 100, such as 2"
        )
    return number


def inline_svg(circuit: Circuit) -> str:
    """The circuit as an SVG element for notebooks: all nodes, or bars if there are many."""
    return to_svg(picture(circuit, "auto" if circuit.num_nodes <= INLINE else "layers"))


def as_text(circuit: Circuit, ending: str, what: What = "circuit") -> str:
    """The circuit in the language of another program, which knows nodes and edges only.

    Args:
        circuit: Any circuit.
        ending: ``".dot"`` for Graphviz or ``".mmd"`` for Mermaid.
        what: As in `draw`.
    """
    _check(what)
    if what not in ("auto", "circuit"):
        raise OptionError.of(
            "PC860",
            f"a {ending} file has every node and edge; it cannot show {what}",
            help=f"leave out what={what!r}, or draw a .svg or .png file",
        )
    _refuse_more(circuit.num_nodes, "nodes")
    return _TEXTS[ending](circuit)


def _check(what: What) -> None:
    if what not in get_args(What):
        raise OptionError.of(
            "PC302", f"unknown picture {what!r}", help=f"use one of: {', '.join(get_args(What))}"
        )


def picture(circuit: Circuit, what: What = "auto") -> Scene:
    """The picture that `draw` writes, as shapes."""
    _check(what)
    if what == "layers":
        return with_caption(draw_bars(circuit))
    if what == "circuit" or (what == "auto" and circuit.num_nodes <= READABLE):
        _refuse_more(circuit.num_nodes, "nodes")
        scene = draw_nodes(circuit)
        if what == "circuit" or _readable(scene):
            return with_caption(scene)
    if what == "regions" or len(circuit.scopes.table) <= MOST:
        graph = find_regions(circuit)
        boxes = boxes_drawn(circuit, graph)
        if what == "regions" or boxes <= READABLE:
            _refuse_more(boxes, "regions and partitions")
            scene = draw_regions(circuit, graph)
            if what == "regions" or _readable(scene):
                return with_caption(scene)
    return with_caption(draw_bars(circuit))


def _readable(scene: Scene) -> bool:
    return scene.width <= WIDEST and scene.height <= HIGHEST


def _refuse_more(number: int, of: str) -> None:
    if number > MOST:
        raise OptionError.of(
            "PC397",
            f"the circuit has {number:,} {of}; a picture has at most {MOST:,}",
            help="use what='auto' or what='layers'",
        )
