"""Pictures of circuits, SVG and PNG."""

from pccompiler.drawing.picture import What, draw

__all__ = ["What", "draw"]
