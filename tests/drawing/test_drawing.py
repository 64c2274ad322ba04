"""Pictures: what they show, that nothing overlaps, and that files are whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path as FilePath
from typing import cast
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pccompiler.drawing import What, draw
from pccompiler.drawing.layout.region_graph import find_regions
from pccompiler.drawing.picture import picture
from pccompiler.drawing.scene import Box, Disc, Path, Scene, Text, text_width
from pccompiler.drawing.svg import to_svg
from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Family, Kind, parse, to_text
from pccompiler.ir.expressions.variables import kron, variables
from pccompiler.ir.networks.read import from_networkx, to_networkx
from pccompiler.structures import hmm, naive_bayes_mixture, rat_spn
from pccompiler.testing.strategies import broken_circuits, circuits

Golden = Callable[[str], None]
WAYS: tuple[What, ...] = ("circuit", "regions", "layers")
GARDEN = """pcir 1
variable rain binary
variable wet categorical 3
%r = input rain bernoulli 1 @r
%d = input rain bernoulli 1 @d
%w = input wet categorical 1 @w
%v = input wet categorical 1
%a = product %r %w
%b = product %d %v
%top = sum 1 %a %b @top
root %top
weight @r 1.0
weight @d 0.25
weight @w 0.5 0.25 0.25
weight @top 0.75 0.25
""".replace("categorical 1\n", "categorical 1 @v\n")


def scalar(circuit: Circuit) -> Circuit:
    return from_networkx(to_networkx(circuit, scalar=True))


def rectangles(scene: Scene) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Left, top, right and bottom of boxes and discs."""
    areas = [
        (s.x - s.width / 2, s.y - s.height / 2, s.x + s.width / 2, s.y + s.height / 2)
        if isinstance(s, Box)
        else (s.x - s.radius, s.y - s.radius, s.x + s.radius, s.y + s.radius)
        for s in scene.shapes
        if isinstance(s, Box | Disc)
    ]
    return np.array(areas).reshape(-1, 4)


def nodes(scene: Scene) -> list[Box | Disc]:
    """What stands for nodes; the samples of a legend have no tooltips."""
    return [s for s in scene.shapes if isinstance(s, Box | Disc) and s.title]


def texts(scene: Scene) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Left, top, right and bottom of texts."""
    areas: list[tuple[float, float, float, float]] = []
    for s in scene.shapes:
        if isinstance(s, Text):
            width = text_width(s.text, s.size) * 0.95
            left = s.x - {"start": 0.0, "middle": width / 2, "end": width}[s.anchor]
            areas.append((left, s.y - s.size / 2, left + width, s.y + s.size / 2))
    return np.array(areas).reshape(-1, 4)


def overlaps(areas: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> int:
    """Pairs that overlap, by a sweep down."""
    ordered = areas[np.argsort(areas[:, 1], kind="stable")]
    last = np.searchsorted(ordered[:, 1], ordered[:, 3])
    found = 0
    for i, end in enumerate(last.tolist()):
        near = ordered[i + 1 : end]
        found += int(((near[:, 0] < ordered[i, 2]) & (near[:, 2] > ordered[i, 0])).sum())
    return found


def assert_readable(scene: Scene) -> None:
    boxes, words = rectangles(scene), texts(scene)
    assert overlaps(boxes) == 0
    assert overlaps(words) == 0
    for areas in (boxes, words):
        assert (areas[:, :2] >= 0).all()
        assert (areas[:, 2] <= scene.width).all()
        assert (areas[:, 3] <= scene.height).all()


def test_small_circuit(golden: Golden) -> None:
    golden(to_svg(picture(parse(GARDEN))))


def test_its_words() -> None:
    words = [s.text for s in picture(parse(GARDEN)).shapes if isinstance(s, Text)]
    assert {"rain = 1", "bernoulli 0.25", "categorical 0.5 0.25 0.25", "categorical"} <= set(words)
    assert {"top", "a", "b", "0.75"} <= set(words)


@pytest.mark.parametrize("what", WAYS)
@pytest.mark.parametrize(
    "circuit",
    [
        parse(GARDEN),
        rat_spn(8, 2, 2),
        hmm(20, 4),
        rat_spn(30, 4, 3),
        scalar(hmm(12, 3)),
        naive_bayes_mixture(40, 6),
        hmm(300, 4),
    ],
    ids=["garden", "rat8", "hmm20", "rat30", "scalar-hmm", "bayes", "hmm300"],
)
def test_nothing_overlaps(circuit: Circuit, what: What) -> None:
    assert_readable(picture(circuit, what))


@given(circuits(families=tuple(Family), reals=True), st.sampled_from(WAYS))
def test_any_circuit(circuit: Circuit, what: What) -> None:
    scene = picture(circuit, what)
    assert_readable(scene)
    assert ElementTree.fromstring(to_svg(scene)).tag.endswith("svg")
    if what == "circuit":
        assert len(nodes(scene)) == circuit.num_nodes


@given(broken_circuits(), st.sampled_from(WAYS))
@settings(max_examples=40)
def test_broken_circuits_are_drawn_too(broken: object, what: What) -> None:
    circuit = getattr(broken, "circuit")  # noqa: B009  # a field of a named tuple
    assert_readable(picture(circuit, what))


@pytest.mark.parametrize("name", ["bayes", "rat", "hmm"])
def test_ten_thousand_nodes(name: str, tmp_path: FilePath) -> None:
    if name == "bayes":
        circuit = scalar(naive_bayes_mixture(200, 50))
    else:
        circuit = scalar(rat_spn(50, 20, 3) if name == "rat" else hmm(500, 6))
    assert circuit.num_nodes > 8_000
    scene = picture(circuit)
    assert_readable(scene)
    assert scene.width <= 4_100
    start = time.perf_counter()
    draw(circuit, tmp_path / "auto.png")
    assert_readable(picture(circuit, "circuit"))
    draw(circuit, tmp_path / "nodes.svg", what="circuit")
    assert time.perf_counter() - start < 20  # about 2 seconds; 10 were asked for


def test_what_is_drawn_by_itself() -> None:
    def drawn(circuit: Circuit) -> str:
        caption = picture(circuit).caption[1]
        return next((w for w in ("regions", "depth") if f"{w}" in caption.split(":")[0]), "nodes")

    assert drawn(rat_spn(8, 2, 2)) == "nodes"
    assert drawn(scalar(naive_bayes_mixture(200, 50))) == "regions"
    assert drawn(rat_spn(100, 10, 5)) == "depth"


THREE_HUNDRED = {
    "hmm": hmm(100, 4),
    "scalar-hmm": scalar(hmm(33, 3)),
    "rat": rat_spn(16, num_replicas=6, units=2),
    "bayes": scalar(naive_bayes_mixture(29, 10)),
}


@pytest.mark.parametrize("name", THREE_HUNDRED)
def test_three_hundred_nodes_are_a_readable_graph(name: str) -> None:
    """Every node on one page, where text keeps its size, no two of them overlapping."""
    circuit = THREE_HUNDRED[name]
    assert 280 <= circuit.num_nodes <= 320
    scene = picture(circuit)
    assert_readable(scene)
    assert len(nodes(scene)) == circuit.num_nodes
    assert scene.width <= 1_600
    assert scene.height <= 1_700
    edges = sum(len(set(circuit.operands_of(n).tolist())) for n in range(circuit.num_nodes))
    assert sum(isinstance(s, Path) for s in scene.shapes) == edges


@pytest.mark.parametrize("name", THREE_HUNDRED)
def test_kinds_have_their_colors_and_a_legend(name: str) -> None:
    circuit = THREE_HUNDRED[name]
    scene = picture(circuit)
    samples = [s for s in scene.shapes if isinstance(s, Box | Disc) and not s.title]
    kinds = sorted({Kind(kind) for kind in circuit.kind.tolist()}, reverse=True)
    assert len(samples) == len(kinds)
    words = [s.text for s in scene.shapes if isinstance(s, Text)]
    for sample, kind in zip(samples, kinds, strict=True):
        number = int((circuit.kind == kind).sum())
        assert f"{number} {kind.keyword}{'s' * (number != 1)}" in words
        drawn = [s for s in nodes(scene) if f": {kind.keyword}" in s.title]
        assert len(drawn) == number
        assert {(s.fill, s.line) for s in drawn} == {(sample.fill, sample.line)}


def test_names_that_do_not_fit_are_thinned() -> None:
    scene = picture(THREE_HUNDRED["bayes"])
    written = [s.text for s in scene.shapes if isinstance(s, Text) and s.text.startswith("x")]
    assert 20 <= len(written) < 290
    assert "names are written where they fit" in scene.caption[1]


def test_a_deep_graph_is_folded_into_columns() -> None:
    scene = picture(THREE_HUNDRED["hmm"])
    paths = [s.points for s in scene.shapes if isinstance(s, Path)]
    up = [points for points in paths if any(a[1] > b[1] for a, b in pairwise(points))]
    assert 1 <= len(up) <= 8
    assert len({points[-1] for points in up}) == len(up)
    assert "next column" in scene.caption[1]


def test_regions_of_a_rat_spn() -> None:
    circuit = rat_spn(8, 2, 2)
    graph = find_regions(circuit)
    assert graph.regions == len({tuple(circuit.scopes.variables(i)) for i in range(len(circuit))})
    assert graph.partition_products.sum() == (circuit.kind == Kind.PRODUCT).sum()


def test_bars_count_every_node() -> None:
    circuit = hmm(1_000, 2)
    titles = [s.title for s in picture(circuit, "layers").shapes if isinstance(s, Box)]
    counts = [int(t.split(": ")[1].split()[0].replace(",", "")) for t in titles]
    assert sum(counts) == circuit.num_nodes
    assert len(counts) <= 60


def test_edges_end_at_their_nodes() -> None:
    scene = picture(parse(GARDEN), "circuit")
    middles = {(s.x, s.y) for s in nodes(scene)}
    for path in (s for s in scene.shapes if isinstance(s, Path)):
        assert {path.points[0], path.points[-1]} <= middles
        assert path.points[0][1] < path.points[-1][1]


@pytest.mark.parametrize("what", WAYS)
def test_files(what: What, tmp_path: FilePath) -> None:
    for name in ("new/picture.svg", "picture.PNG"):
        assert draw(rat_spn(8, 2, 2), tmp_path / name, what=what) == tmp_path / name
    assert (tmp_path / "picture.PNG").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "new" / "picture.svg").read_text().startswith("<svg")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_kronecker_products(tmp_path: FilePath) -> None:
    x, y = variables("x", "y")
    circuit = kron(x.indicator(), y.indicator()).sum().circuit()
    draw(circuit, tmp_path / "kronecker.png")
    signs = [s.sign for s in nodes(picture(circuit)) if isinstance(s, Disc)]
    assert sorted(signs) == ["+", "xx"]


def test_refusals(tmp_path: FilePath, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pccompiler.drawing.picture.MOST", 1_000)
    large = naive_bayes_mixture(2_000, 2)
    messages: list[str] = []
    unknown = cast(What, "nodes")
    wanted: list[tuple[Circuit, str, What]] = [
        (hmm(3, 2), "picture.pdf", "auto"),
        (hmm(3, 2), "picture.svg", unknown),
        (large, "picture.svg", "circuit"),
        (rat_spn(100, 10, 5), "picture.svg", "regions"),
    ]
    for circuit, name, what in wanted:
        with pytest.raises(OptionError) as error:
            draw(circuit, tmp_path / name, what=what)
        messages.append(str(error.value))
    assert not list(tmp_path.iterdir())
    golden("\n".join(messages))


def test_command(tmp_path: FilePath) -> None:
    import typer

    from pccompiler.commands.draw import draw as command

    app = typer.Typer()
    app.command()(command)
    (tmp_path / "garden.pcir").write_text(to_text(parse(GARDEN)))
    out = tmp_path / "garden.svg"
    result = CliRunner().invoke(app, [str(tmp_path / "garden.pcir"), str(out), "--what", "regions"])
    assert result.exit_code == 0, result.output
    assert "Drawn as 3 regions" in out.read_text()
