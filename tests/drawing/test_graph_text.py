"""DOT and Mermaid text: golden files, and a small parser of each that reads the graph back."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pccompiler.drawing import draw
from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Family, parse, to_text
from pccompiler.structures import rat_spn
from pccompiler.testing.strategies import broken_circuits, circuits
from tests.drawing.test_drawing import GARDEN

Golden = Callable[[str], None]
Graph = tuple[dict[int, list[str]], set[tuple[int, int]]]
"""The lines of each node's label, and the edges."""
HOSTILE = (
    '<script>alert("x")</script>',
    "a\\N \\",
    'b"]; n0 -> n1 [label="',
    "1. c",
    "- d",
    "e&amp;#34;#quot;",
    "f\n%% end\x00\u2028",
    "`g` |h| (((",
)


def hostile(name: str) -> Circuit:
    """A circuit with a bad name for a node and a variable, as no reader lets through."""
    circuit = parse(GARDEN)
    first, second = circuit.variables
    return circuit.replace(
        variables=(replace(first, name=name), second), names={**circuit.names, 6: name, 4: name}
    )


def edges_of(circuit: Circuit) -> set[tuple[int, int]]:
    return {(n, o) for n in range(len(circuit)) for o in circuit.operands_of(n).tolist()}


_STRING = r'"((?:[^"\\]|\\.)*)"'
_ATTRIBUTES = rf"\[(?:\w+=(?:{_STRING}|\w+)(?:, )?)*\]".replace("((", "(?:(")


def read_dot(text: str) -> Graph:
    """The statements that `to_graphviz` uses; anything else is an error."""
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == ("digraph circuit {", "}")
    labels: dict[int, list[str]] = {}
    edges: set[tuple[int, int]] = set()
    for line in lines[1:-1]:
        assert re.fullmatch(rf"  (graph|node|edge|n\d+( -> n\d+)?)( {_ATTRIBUTES})?;", line), line
        if edge := re.match(r"  n(\d+) -> n(\d+)", line):
            edges.add((int(edge[1]), int(edge[2])))
        elif node := re.match(rf"  n(\d+) \[label={_STRING}", line):
            labels[int(node[1])] = _unescaped(node[2])
    return labels, edges


_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


def _unescaped(label: str) -> list[str]:
    """The lines of an escString of Graphviz."""
    pieces: list[str] = re.findall(r"\\.|[^\\]", label)
    whole = "".join(_ESCAPES.get(piece, piece) for piece in pieces)
    return [html.unescape(line) for line in whole.split("\n")]


def read_mermaid(text: str) -> Graph:
    """The statements that `to_mermaid` uses; anything else is an error."""
    lines = text.splitlines()
    assert lines[0] == "flowchart TD"
    labels: dict[int, list[str]] = {}
    edges: set[tuple[int, int]] = set()
    for line in lines[1:]:
        node = re.fullmatch(r'  n(\d+)(?:\["([^"]*)"\]|\(\["([^"]*)"\]\)):::\w+', line)
        edge = re.fullmatch(r'  n(\d+) ---(?:\|"[0-9.e+ #;-]*"\|)? n(\d+)', line)
        if node:
            label = node[2] or node[3] or ""
            labels[int(node[1])] = [_decoded(part) for part in label.split("<br/>")]
        elif edge:
            edges.add((int(edge[1]), int(edge[2])))
        else:
            assert re.fullmatch(r"  classDef \w+ fill:#\w+,stroke:#\w+,color:#\w+", line), line
    return labels, edges


def _decoded(text: str) -> str:
    assert re.fullmatch(r"(?:#\d+;|[\w ,=]|(?<=\d)\.(?=\d))*", text, re.ASCII), text
    return re.sub(r"#(\d+);", lambda code: chr(int(code[1])), text)


READERS: dict[str, tuple[Callable[[Circuit], str], Callable[[str], Graph]]] = {
    "dot": (Circuit.to_graphviz, read_dot),
    "mermaid": (Circuit.to_mermaid, read_mermaid),
}


@pytest.mark.parametrize("name", READERS)
def test_small_circuit(golden: Golden, name: str) -> None:
    golden(READERS[name][0](parse(GARDEN)))


@pytest.mark.parametrize("name", READERS)
def test_labels_are_read_back(name: str) -> None:
    write, read = READERS[name]
    labels, _ = read(write(parse(GARDEN)))
    assert labels[1] == ["rain", "bernoulli 0.25"]
    assert labels[4] == ["\u00d7", "a"]
    assert labels[6] == ["+", "top"]


@given(circuits(families=tuple(Family), reals=True), st.sampled_from(sorted(READERS)))
@settings(max_examples=40)
def test_every_node_and_edge_is_read_back(circuit: Circuit, name: str) -> None:
    write, read = READERS[name]
    labels, edges = read(write(circuit))
    assert set(labels) == set(range(len(circuit)))
    assert edges == edges_of(circuit)


@given(broken_circuits(), st.sampled_from(sorted(READERS)))
@settings(max_examples=20)
def test_broken_circuits_are_written_too(broken: object, name: str) -> None:
    circuit = getattr(broken, "circuit")  # noqa: B009  # a field of a named tuple
    write, read = READERS[name]
    assert read(write(circuit))[1] == edges_of(circuit)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("bad", HOSTILE)
def test_hostile_names_are_text_and_nothing_else(name: str, bad: str) -> None:
    write, read = READERS[name]
    labels, edges = read(write(hostile(bad)))
    clean = "".join(char if char.isprintable() else "\ufffd" for char in bad)
    assert labels[6] == ["+", clean]
    assert labels[1] == [clean, "bernoulli 0.25"]
    assert edges == edges_of(hostile(bad))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("bad", HOSTILE)
def test_graphviz_reads_the_text(bad: str) -> None:
    text = hostile(bad).to_graphviz()
    done = subprocess.run(
        ["dot", "-Tplain"], input=text, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert len(re.findall("^node ", done.stdout, re.MULTILINE)) == 7
    assert len(re.findall("^edge ", done.stdout, re.MULTILINE)) == 6


def test_files(tmp_path: Path) -> None:
    circuit = rat_spn(8, 2, 2)
    assert draw(circuit, tmp_path / "c.dot").read_text() == circuit.to_graphviz()
    assert draw(circuit, tmp_path / "c.MMD", what="circuit").read_text() == circuit.to_mermaid()


@pytest.mark.parametrize("ending", [".dot", ".mmd"])
def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    with pytest.raises(OptionError, match="PC860"):
        draw(parse(GARDEN), tmp_path / f"c{ending}", what="regions")
    monkeypatch.setattr("pccompiler.drawing.picture.MOST", 6)
    with pytest.raises(OptionError, match="PC397"):
        draw(parse(GARDEN), tmp_path / f"c{ending}")
    with pytest.raises(OptionError, match="PC397"):
        parse(GARDEN).to_graphviz()
    assert not list(tmp_path.iterdir())


def test_command(tmp_path: Path) -> None:
    import typer

    from pccompiler.commands.draw import draw as command

    app = typer.Typer()
    app.command()(command)
    (tmp_path / "garden.pcir").write_text(to_text(parse(GARDEN)))
    out = tmp_path / "garden.mmd"
    result = CliRunner().invoke(app, [str(tmp_path / "garden.pcir"), str(out)])
    assert result.exit_code == 0, result.output
    assert read_mermaid(out.read_text())[1] == edges_of(parse(GARDEN))
