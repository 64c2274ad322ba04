"""Writes scenes as SVG, without a library."""

from __future__ import annotations

from xml.sax.saxutils import escape

from pccompiler.drawing.scene import PAPER, Box, Disc, Path, Scene, Shape, Text

_FONT = "font-family='Helvetica, Arial, DejaVu Sans, sans-serif'"


def to_svg(scene: Scene, title: str = "") -> str:
    """The picture as an SVG document; titles of shapes become tooltips.

    Args:
        scene: What to draw.
        title: What screen readers say the picture is; the caption follows as its description.
    """
    width, height = _number(scene.width), _number(scene.height)
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' {_FONT}>",
        f"<rect width='{width}' height='{height}' fill='{PAPER}'/>",
    ]
    if title:
        description = "\n".join(scene.caption)
        lines[1:1] = [f"<title>{escape(title)}</title>", f"<desc>{escape(description)}</desc>"]
    lines += [_shape(shape) for shape in scene.shapes]
    return "\n".join([*lines, "</svg>", ""])


def _shape(shape: Shape) -> str:
    if isinstance(shape, Path):
        return _path(shape)
    if isinstance(shape, Box):
        return _box(shape)
    return _disc(shape) if isinstance(shape, Disc) else _text(shape)


def _path(path: Path) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in path.points)
    return _titled(
        f"<polyline points='{points}' fill='none' stroke='{path.line}' "
        f"stroke-width='{_number(path.width)}'",
        "polyline",
        path.title,
    )


def _box(box: Box) -> str:
    x, y = _number(box.x - box.width / 2), _number(box.y - box.height / 2)
    return _titled(
        f"<rect x='{x}' y='{y}' width='{_number(box.width)}' height='{_number(box.height)}' "
        f"rx='{_number(box.radius)}' fill='{box.fill}' stroke='{box.line}'",
        "rect",
        box.title,
    )


def _disc(disc: Disc) -> str:
    x, y, r = _number(disc.x), _number(disc.y), _number(disc.radius)
    circle = f"<circle cx='{x}' cy='{y}' r='{r}' fill='{disc.fill}' stroke='{disc.line}'"
    return _titled(circle, "circle", disc.title) + _sign(disc)


def _sign(disc: Disc) -> str:
    if not disc.sign:
        return ""
    reach = disc.radius * (0.5 if disc.sign == "+" else 0.4)
    lines = ""
    for (x0, y0), (x1, y1) in sign_lines(disc, reach):
        lines += f"M{_number(x0)} {_number(y0)}L{_number(x1)} {_number(y1)}"
    sign = f"<path d='{lines}' stroke='{disc.line}' stroke-width='1.6' pointer-events='none'/>"
    if disc.sign == "xx":
        inner = _number(disc.radius * 0.7)
        sign += (
            f"<circle cx='{_number(disc.x)}' cy='{_number(disc.y)}' r='{inner}' fill='none' "
            f"stroke='{disc.line}' pointer-events='none'/>"
        )
    return sign


Point = tuple[float, float]


def sign_lines(disc: Disc, reach: float) -> tuple[tuple[Point, Point], tuple[Point, Point]]:
    """The two strokes of a plus, or of a cross."""
    x, y = disc.x, disc.y
    if disc.sign == "+":
        return ((x - reach, y), (x + reach, y)), ((x, y - reach), (x, y + reach))
    return (
        ((x - reach, y - reach), (x + reach, y + reach)),
        ((x - reach, y + reach), (x + reach, y - reach)),
    )


def _text(text: Text) -> str:
    """The text; its halo is a white copy below, since some viewers lack ``paint-order``."""
    start = (
        f"<text x='{_number(text.x)}' y='{_number(text.y + 0.35 * text.size)}' "
        f"font-size='{_number(text.size)}' text-anchor='{text.anchor}' "
    )
    end = f">{escape(text.text)}</text>"
    halo = f"{start}stroke='#ffffff' stroke-width='3' pointer-events='none'{end}"
    return (halo if text.halo else "") + f"{start}fill='{text.color}'{end}"


def _titled(opening: str, tag: str, title: str) -> str:
    if not title:
        return f"{opening}/>"
    return f"{opening}><title>{escape(title)}</title></{tag}>"


def _number(value: float) -> str:
    """The shortest text with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
