"""The statement 'scale', and other errors within a line."""

from __future__ import annotations

from typing import cast

import pytest

from pccompiler.errors import OptionError, ParseError
from pccompiler.ir import parse, to_text

TEXT = "pcir 1\nvariable x binary\n%0 = input x bernoulli 1 @0\nroot %0\nweight @0 0.5\n"


def test_a_scale_is_read_and_written() -> None:
    circuit = parse(TEXT + "scale -1.5\n")
    assert circuit.log_scale == -1.5
    assert parse(to_text(circuit)) == circuit


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("scale", "PC208"),
        ("scale 1 2", "PC208"),
        ("scale 1\nscale 1", "PC204"),
        ("scale inf", "PC211"),
        ("root %0", "PC204"),
        ("%1 = sum", "PC205"),
    ],
)
def test_lines_that_cannot_be_read(line: str, code: str) -> None:
    with pytest.raises(ParseError, match=code):
        parse(TEXT + line + "\n")


def test_at_most_twenty_findings_are_reported() -> None:
    with pytest.raises(ParseError) as error:
        parse(TEXT + "nothing\n" * 50)
    assert len(error.value.diagnostics) == 20


def test_a_text_is_a_str() -> None:
    with pytest.raises(OptionError, match="PC302"):
        parse(cast("str", 7))


def test_a_variable_with_edges() -> None:
    circuit = parse(
        TEXT.replace("x binary", "x real edges 0 1 2")
        .replace("bernoulli", "gaussian")
        .replace("0.5", "0 1")
    )
    assert circuit.variables[0].edges == (0.0, 1.0, 2.0)
