"""Pictures of circuits, as SVG or PNG."""

from pccompiler.drawing.picture import What, draw

__all__ = ["What", "draw"]
