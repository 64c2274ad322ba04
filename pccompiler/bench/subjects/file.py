"""Circuits of the user's."""

from __future__ import annotations

from pathlib import Path

from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.imports.read import read_circuit


def build(subject: Subject) -> Material:
    """The circuit in the file; its rows are samples."""
    return Material(read_circuit(subject.file or Path()), None)
