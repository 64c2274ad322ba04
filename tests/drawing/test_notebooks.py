"""What notebooks show: one-line repr, and HTML that is whole, small and has only our tags."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.drawing.curves import draw_curves
from pccompiler.drawing.scene import Path, Scene, Text
from pccompiler.ir import Circuit, parse
from pccompiler.passes.analysis.properties import properties
from pccompiler.structures import hmm, rat_spn
from pccompiler.torch_backend import Evaluation, History

VOID = {"br", "meta"}
OURS = {
    *("div", "p", "table", "tr", "th", "td"),
    *("svg", "title", "desc", "rect", "circle", "polyline", "path", "text"),
}
EVIL = '<script>alert("x")</script>&\'"'


class Reader(HTMLParser):
    """Checks that every tag is ours and closed in order, and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in OURS, tag
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(shown: Any) -> Reader:  # any object that notebooks can show
    html = shown._repr_html_()
    assert len(html) < 150_000
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    assert all("//" not in (v or "") for n, v in reader.attributes if n != "xmlns")  # nothing loads
    return reader


def history(steps: int = 20) -> History:
    evaluations = [
        Evaluation(step=s, train=-5.0 - 1 / (s + 1), valid=-6.0 - 1 / (s + 1), seconds=0.1)
        for s in range(steps)
    ]
    return History(evaluations=evaluations, best_step=steps - 1, best_valid=-6.05, seconds=1.5)


def model() -> pc.CompiledCircuit:
    return pc.compile(rat_spn(8, num_replicas=2, units=3, seed=0), memory_budget="8 KiB")


SHOWN: dict[str, Callable[[], object]] = {
    "circuit": lambda: rat_spn(8, num_replicas=2, units=3, seed=0),
    "model": model,
    "history": history,
    "properties": lambda: properties(rat_spn(8, num_replicas=2, units=3, seed=0)),
    "schedule": lambda: model().schedule,
    "explanation": lambda: pc.explain(rat_spn(8, num_replicas=2, units=3, seed=0)),
}


@pytest.mark.parametrize("name", SHOWN)
def test_html_is_whole_and_repr_is_one_line(name: str) -> None:
    shown = SHOWN[name]()
    reader = read(shown)
    assert "table" in reader.tags
    assert ("svg" in reader.tags) == (name not in ("properties", "explanation"))
    assert len(repr(shown).splitlines()) == 1
    assert len(repr(shown)) <= 120
    assert repr(shown).startswith(type(shown).__name__)


def test_a_conditional_circuit_shows_its_module() -> None:
    circuit = rat_spn(4, num_replicas=2, units=2, seed=0)
    module = pc.External(lambda numbers: torch.nn.Linear(3, numbers))
    reader = read(pc.compile(circuit, module, seed=0))
    assert "svg" in reader.tags
    assert any("Linear(in_features=3" in text for text in reader.text)


def test_only_pictures_have_colors() -> None:
    """Tables take the notebook's own colours, light or dark; pictures bring their paper."""
    html = model()._repr_html_()
    outside = html[: html.index("<svg")] + html[html.index("</svg>") :]
    assert "color" not in outside
    assert "background" not in outside
    assert "fill='#ffffff'" in html


@pytest.mark.parametrize("number", [100, 3_000])
def test_html_of_large_circuits_is_small(number: int) -> None:
    circuit = hmm(number, 4)
    reader = read(circuit)
    assert f"{number - 12:,} more variables" in reader.text
    assert len(repr(circuit)) < 100


def hostile() -> Circuit:
    circuit = rat_spn(3, num_replicas=1, units=2, seed=0)
    bad = replace(circuit.variables[0], name=EVIL)
    names = {circuit.root: EVIL}
    return circuit.replace(variables=(bad, *circuit.variables[1:]), names=names)


@pytest.mark.parametrize(
    "shown",
    [hostile(), properties(hostile()), pc.compile(hostile())],
    ids=lambda s: type(s).__name__,
)
def test_hostile_names_are_text(shown: object) -> None:
    reader = read(shown)  # refuses <script>, since that tag is not ours
    if not isinstance(shown, pc.passes.Properties):
        assert any(EVIL in text for text in reader.text)


def test_a_history_lists_its_last_evaluations() -> None:
    reader = read(history(20))
    assert "12 earlier evaluations" in reader.text
    assert "19" in reader.text
    assert "-6.0500" in reader.text


@pytest.mark.parametrize(
    "values",
    [[], [-3.0], [-3.0, -3.0], [-math.inf, -2.0, -1.0], [math.nan] * 3, [-1e300, -1.0, -0.5]],
    ids=str,
)
def test_curves_of_any_values(values: list[float]) -> None:
    evaluations = [
        Evaluation(step=s, train=v, valid=None, seconds=0.0) for s, v in enumerate(values)
    ]
    read(History(evaluations=evaluations))
    scene = draw_curves({"training": list(enumerate(values))}, "step", "nats")
    for x, y in points(scene):
        assert 0 <= x <= scene.width
        assert 0 <= y <= scene.height


def points(scene: Scene) -> list[tuple[float, float]]:
    return [p for s in scene.shapes if isinstance(s, Path) for p in s.points] + [
        (s.x, s.y) for s in scene.shapes if isinstance(s, Text)
    ]


def test_curves_rise_where_values_do() -> None:
    scene = draw_curves({"a": [(0, -9.0), (1, -3.0), (2, -2.0), (3, -1.0)]}, "step", "nats")
    (curve,) = [s for s in scene.shapes if isinstance(s, Path) and s.title == "a"]
    assert len(curve.points) == 3  # the first one would flatten the others
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(curve.points))


def test_answers_and_plans_are_one_line() -> None:
    compiled = model()
    rows = np.full((5, 8), np.nan)
    shown = [
        compiled.posterior_marginals(rows),
        compiled.mpe(rows),
        compiled.map({"x0": 1.0}),
        compiled.plan,
        compiled.circuit,
        history(),
    ]
    for one in shown:
        assert len(repr(one).splitlines()) == 1
        assert len(repr(one)) <= 120, repr(one)
    assert repr(shown[0]) == (
        "Posterior(states=Tensor(5, 8, 2), mean=Tensor(5, 8), variance=Tensor(5, 8), "
        "log_evidence=Tensor(5,))"
    )
    assert repr(shown[1]) == "Completion(rows=Tensor(5, 8), log_value=Tensor(5,), exact=False)"


def test_a_model_within_a_module_is_one_line() -> None:
    outer = torch.nn.Sequential(torch.nn.Linear(2, 2), model())
    assert "CompiledCircuit(variables=8, parameters=212, layers=9" in repr(outer)


def test_a_circuit_that_breaks_rules_is_shown_too() -> None:
    text = "pcir 1\nvariable x binary\nvariable y binary\n%a = input x bernoulli 1 @a\n"
    read(parse(text + "%b = input y bernoulli 1 @b\n%c = sum 1 %a %b @c\nroot %c\n"))
