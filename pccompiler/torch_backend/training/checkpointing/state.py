"""The file from which a training resumes: tensors, JSON, and a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pccompiler.errors import CheckpointError
from pccompiler.torch_backend.training.course import Facts

STATE = "training.safetensors"
FORMAT = 1


class Saved(NamedTuple):
    """The content of a checkpoint."""

    tensors: dict[str, Tensor]
    facts: Facts

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors named ``name/...``."""
        start = f"{name}/"
        return {k.removeprefix(start): t for k, t in self.tensors.items() if k.startswith(start)}


def read_state(folder: Path) -> Saved | None:
    """The state of a training in ``folder``, verified; ``None`` if there is none.

    Raises:
        CheckpointError: If the path is used for something else, or the file is damaged.
    """
    path = folder / STATE
    if folder.exists() and not folder.is_dir():
        raise CheckpointError.of(
            "PC505", f"{folder} is not a folder", help="give a folder for the training's checkpoint"
        )
    if not path.exists():
        return None
    blob = path.read_bytes()
    try:
        tensors = load_tensors(blob)
        length = int.from_bytes(blob[:8], "little")
        metadata = json.loads(blob[8 : 8 + length])["__metadata__"]
        text, seal = metadata["training"], metadata["sha256"]
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, f"it cannot be read: {error}") from error
    if _seal(tensors, text) != seal:
        raise _damaged(path, "its SHA-256 does not match")
    facts: Facts = json.loads(text)
    if facts["format"] != FORMAT:
        raise CheckpointError.of(
            "PC504",
            f"{path} has format {facts['format']}, this version reads {FORMAT}",
            help=f"it was written by pccompiler {facts['pccompiler']}; continue with that version",
        )
    return Saved(tensors, facts)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        whole.update(np.atleast_1d(value.numpy()).view(np.uint8).data)
    return whole.hexdigest()


def pack(tensors: Mapping[str, Tensor], facts: Facts) -> bytes:
    """The content of the file that `read_state` reads."""
    text = json.dumps(facts)
    return save_tensors(dict(tensors), {"training": text, "sha256": _seal(tensors, text)})


def _seal(tensors: Mapping[str, Tensor], text: str) -> str:
    return hashlib.sha256(f"{digest(tensors)}\n{text}".encode()).hexdigest()


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError.of(
        "PC508",
        f"the state of the training in {path} is damaged: {why}",
        help="restore the file, or delete it to start over",
    )
