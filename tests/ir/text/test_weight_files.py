"""Texts with weights in a file next to them; several findings at once; marks and line endings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from pccompiler.errors import OptionError, ParseError
from pccompiler.ir import Circuit, parse, read_circuit, to_text, write_circuit
from pccompiler.testing import random_circuit
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@given(circuits(reals=True))
def test_weights_by_reference_round_trip(folder: Path, circuit: Circuit) -> None:
    path = write_circuit(circuit, folder / "a.pcir", weights="file")
    assert read_circuit(path) == circuit
    assert read_circuit(write_circuit(circuit, path)) == circuit
    bare = read_circuit(write_circuit(circuit, path, weights="none"))
    assert not bare.weights.values


def test_files_that_are_missing_or_changed(tmp_path: Path, golden: Golden) -> None:
    circuit = random_circuit(3)
    path = write_circuit(circuit, tmp_path / "a.pcir", weights="file")
    beside = tmp_path / "a.safetensors"
    messages: list[str] = []

    def refused() -> None:
        with pytest.raises(ParseError) as caught:
            read_circuit(path)
        messages.append(str(caught.value).replace(str(tmp_path), "FOLDER"))

    beside.write_bytes(beside.read_bytes()[:-1])
    refused()
    beside.unlink()
    refused()
    with pytest.raises(ParseError) as caught:
        parse(path.read_text())
    messages.append(str(caught.value).split("sha256")[0])
    with pytest.raises(OptionError, match="PC302"):
        write_circuit(circuit, path, weights="beside")  # type: ignore[arg-type]
    golden("\n".join(messages))


def test_all_findings_come_at_once(golden: Golden) -> None:
    text = (
        "pcir 1\nvariable rain binary\n%a = input ran bernoulli 1 @a\n%b = prodct %a\n"
        "\t%c = input rain bernouli 1 @c\nroot %a %b\n"
    )
    with pytest.raises(ParseError) as caught:
        parse(text, "garden.pcir")
    assert [d.code for d in caught.value.diagnostics] == ["PC207", "PC205", "PC207", "PC208"]
    golden(str(caught.value))


def test_marks_line_ends_and_versions() -> None:
    circuit = random_circuit(5)
    text = to_text(circuit)
    assert parse("\ufeff" + text) == circuit
    assert parse(text.replace("\n", "\r\n")) == circuit
    with pytest.raises(ParseError, match="version '2'"):
        parse(text.replace("pcir 1", "pcir 2"))
