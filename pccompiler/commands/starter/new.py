"""``pccompiler new``: a project to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from pccompiler.errors import OptionError
from pccompiler.files import replacing_folder, write_bytes


def new(
    name: Annotated[Path, typer.Argument(help="A folder that does not exist yet, or is empty.")],
) -> None:
    """Write a starter project: a circuit, data, a training script, a test, a README."""
    if name.exists() and not (name.is_dir() and not any(name.iterdir())):
        raise OptionError.of(
            "PC885",
            f"{name} exists already, and a new project does not overwrite anything",
            help="choose another name, or an empty folder",
        )
    texts = project(name.resolve().name)
    with replacing_folder(name.resolve()) as staging:
        for file, text in texts.items():
            write_bytes(staging / file, text.encode())
    typer.echo(f"{name}: {', '.join(texts)}")
    typer.echo(f"next: cd {name}; python train.py")


def project(name: str) -> dict[str, str]:
    """The files of a project called ``name``: their text by their name."""
    folder = files("pccompiler.commands.starter") / "project"
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    return {
        file.removesuffix(".txt"): Template(text).safe_substitute(name=name)
        for file, text in sorted(texts.items())
    }
