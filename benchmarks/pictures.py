"""The README's pictures, drawn from a circuit and from committed results.

    python -m benchmarks.pictures

Writes docs/images/overview.svg (a circuit, its plan, its kernels) and docs/images/peers.svg (times,
with PyJuice and cirkit). Equal inputs give equal files; tests/test_pictures.py compares them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

import pccompiler as pc
from benchmarks.page.bars import Bar, Row, chart
from benchmarks.page.bench import BENCH
from benchmarks.page.contest import Contest
from benchmarks.page.results import Result, Results
from benchmarks.page.sections.gpu import RATS
from benchmarks.page.sections.wide import HCLT
from pccompiler.drawing.nodes import draw_nodes
from pccompiler.drawing.scene import (
    FILL,
    LARGE,
    LINE,
    NORMAL,
    SMALL,
    Box,
    Scene,
    Shape,
    Text,
)
from pccompiler.drawing.scene import Path as Line
from pccompiler.drawing.svg import to_svg
from pccompiler.ir.plan.layers import Layer
from pccompiler.passes import plan

IMAGES = Path(__file__).parents[1] / "docs" / "images"
TOP, GAP, BAR, PANEL = 58.0, 40.0, 30.0, 190.0
KERNELS = (  # name, what it does, colour, left, width, top, bottom
    ("weights", "softmax, or a network", "sum", 0.0, 1.0, 0.0, 0.16),
    ("up", "log-likelihoods", "product", 0.0, 0.48, 0.2, 0.8),
    ("down", "flows", "kronecker", 0.52, 0.48, 0.2, 0.8),
    ("Adam", "all parameters", "mixture", 0.0, 1.0, 0.84, 1.0),
)
"""What fused kernels do in a training step on a GPU (docs/explanation/engines.md)."""


def overview() -> Scene:
    """A circuit, the layers of its plan, and the kernels that run them, from left to right."""
    circuit = without_locations(pc.rat_spn(4, num_replicas=2, units=2, seed=0))
    nodes = draw_nodes(circuit)
    layers = plan(circuit).layers
    caption = (
        f"A circuit of {circuit.num_nodes} nodes becomes a plan of {len(layers)} layers.",
        f"Fused kernels run all layers: {', '.join(kernel[0] for kernel in KERNELS)}.",
    )
    scene = Scene(nodes.width, TOP + nodes.height, caption)
    scene.shapes += [_moved(shape, 0.0, TOP - 20.0) for shape in nodes.shapes]
    scene.shapes += _title(nodes.width / 2, "1. a circuit", f"{circuit.num_nodes} nodes")
    left = nodes.width + GAP
    scene.shapes += _title(left + PANEL / 2, "2. its plan", f"{len(layers)} layers of tensors")
    step = (nodes.height - 40.0) / len(layers)
    for number, layer in enumerate(reversed(layers)):
        scene.shapes += _layer(layer, left, TOP + 20 + step * number)
    left += PANEL + GAP
    scene.shapes += _title(left + PANEL / 2, "3. its kernels", "up and down fuse all layers")
    for kernel in KERNELS:
        scene.shapes += _kernel(kernel, left, nodes.height - 40.0)
    for edge in (nodes.width + GAP / 2, left - GAP / 2):
        scene.shapes.append(Line(((edge, 20.0), (edge, scene.height - 16)), "#d5dbe1"))
    return replace(scene, width=left + PANEL + 20)


def without_locations(circuit: pc.Circuit) -> pc.Circuit:
    """The circuit without the places of its declaration, which depend on the checkout."""
    return circuit.replace(location=np.full(circuit.num_nodes, -1), locations=())


def _title(x: float, title: str, note: str) -> list[Shape]:
    return [Text(x, 22.0, title, LARGE), Text(x, 42.0, note, NORMAL, color="#52606d")]


def _layer(layer: Layer, left: float, y: float) -> list[Shape]:
    """A box as wide as the layer has units in all, with its name and shape."""
    kind = "input" if layer.family is not None else layer.kind.keyword
    name = layer.family.keyword if layer.family is not None else layer.kind.keyword
    width = 14.0 * math.sqrt(layer.rows * layer.units)
    return [
        Box(left + 30, y + BAR / 2, width, BAR - 8, FILL[kind], LINE[kind]),
        Text(left + 72, y + BAR / 2, f"{name} {layer.rows} x {layer.units}", SMALL, "start"),
    ]


def _kernel(
    kernel: tuple[str, str, str, float, float, float, float], left: float, height: float
) -> list[Shape]:
    name, does, kind, edge, width, top, bottom = kernel
    x, y = left + PANEL * (edge + width / 2), TOP + 20 + height * (top + bottom) / 2
    return [
        Box(x, y, PANEL * width, height * (bottom - top), FILL[kind], LINE[kind]),
        Text(x, y - 8, name, NORMAL),
        Text(x, y + 9, does, SMALL, color="#52606d"),
    ]


def _moved(shape: Shape, right: float, down: float) -> Shape:
    if isinstance(shape, Line):
        return replace(shape, points=tuple((x + right, y + down) for x, y in shape.points))
    return replace(shape, x=shape.x + right, y=shape.y + down)


def pairs() -> list[Contest]:
    """The comparisons to draw, from the result files; times in ms."""
    results = Results()
    trees = _times(results.read("rat_pyjuice", RATS))
    chain = _times(results.read("hclt_step", HCLT))
    graph = "pyjuice k=5 forward+backward, one graph"
    found = [
        Contest(
            f"H100: RAT-SPN, {n} variables",
            trees[f"n={n} ours, whole step"],
            "PyJuice",
            trees[f"n={n} {graph}"],
        )
        for n in (16, 100)
    ]
    ours = chain["dense tf32 gradients"]
    theirs = chain["pyjuice triton same circuit in one graph"]
    found.append(Contest("H100: HCLT, 784 variables", ours, "PyJuice", theirs))
    for file, case, what in (
        ("bench_cpu", "step-16-spn", "CPU: RAT-SPN, 16 variables"),
        ("bench_cpu", "step-100-spn", "CPU: RAT-SPN, 100 variables"),
        ("bench_image_cpu", "image-step-14x14x256x32", "CPU: quad tree, 196 pixels"),
    ):
        lines = results.read(file, BENCH).having("case", "ms", "peers")
        line = next(line for line in lines if line["case"] == case)
        found.append(Contest(what, line["ms"], "cirkit", line["peers"]["cirkit"]["ms"]))
    return found


def _times(result: Result) -> dict[str, float]:
    return {line["step"]: line["ms"] for line in result.having("step", "ms")}


def peers() -> Scene:
    """Our bar and a peer's for each comparison."""
    rows = [
        Row(one.what, [Bar("pccompiler", one.ours), Bar(one.peer, one.theirs)]) for one in pairs()
    ]
    return chart("time of one training step", rows)


def write(folder: Path) -> None:
    """Both pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overview.svg").write_text(to_svg(overview(), "A circuit, its plan, its kernels"))
    (folder / "peers.svg").write_text(to_svg(peers(), "Time of one training step, and peers'"))


if __name__ == "__main__":
    write(IMAGES)
