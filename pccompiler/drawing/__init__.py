"""Pictures of circuits, as SVG or PNG."""

from pccompiler.drawing.picture import What, as_text, draw, inline_svg
from pccompiler.drawing.svg import to_svg

__all__ = ["What", "as_text", "draw", "inline_svg", "to_svg"]
