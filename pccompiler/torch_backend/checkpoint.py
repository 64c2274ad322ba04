"""Checkpoints: a folder with the circuit's text, the parameters and a manifest.

``circuit.pcir`` is the IR, ``parameters.safetensors`` the numbers, ``model.json`` says how the
model was compiled and holds the hashes of the other two. The folder appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from pccompiler.errors import CheckpointError, PCCompilerError
from pccompiler.files import write_bytes
from pccompiler.ir import Circuit, parse, to_text
from pccompiler.reading import parse_json, read_regular
from pccompiler.torch_backend.module import CompiledCircuit
from pccompiler.version import __version__

FORMAT = 1
CIRCUIT, PARAMETERS, MANIFEST = "circuit.pcir", "parameters.safetensors", "model.json"


_TYPES = {"dtype": str, "format": int, "numerics": str, "sha256": dict}
"""What a manifest must have."""
_LOG: Final = logging.getLogger(__name__)
_DIGEST = "digest"
_UNSIGNED = {"format", "pccompiler", "dtype", "numerics", "fingerprint", "sha256"}
"""The entries of manifests without a digest, which older versions wrote: these and no others."""


def save(model: CompiledCircuit, directory: str | Path) -> Path:
    """Write ``model`` to ``directory``, replacing a checkpoint that is there.

    Raises:
        CheckpointError: If the path is a file, or a folder that is no checkpoint.
    """
    target = Path(directory).resolve()
    check_target(target)
    text = to_text(model.circuit).encode()
    tensors = {n: p.detach().cpu().contiguous() for n, p in model.weights.values.items()}
    blob = save_tensors(tensors)
    manifest = {
        "format": FORMAT,
        "pccompiler": __version__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "numerics": model.numerics,
        "fingerprint": model.circuit.fingerprint,
        "sha256": {CIRCUIT: _hash(text), PARAMETERS: _hash(blob)},
    }
    manifest[_DIGEST] = _manifest_digest(manifest)
    files = {
        CIRCUIT: text,
        PARAMETERS: blob,
        MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    staging.mkdir()
    try:
        for name, content in files.items():
            write_bytes(staging / name, content)
        _swap(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def read(directory: str | Path) -> tuple[Circuit, dict[str, torch.Tensor], dict[str, Any]]:
    """Circuit, parameters and manifest of a checkpoint, verified (JSON values, hence ``Any``).

    Raises:
        CheckpointError: If a file is missing, truncated or changed.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise CheckpointError.of(
            "PC501", f"there is no checkpoint folder {folder}", help="check the path"
        )
    manifest = _manifest(folder)
    contents = {name: _verified(folder, name, manifest["sha256"]) for name in (CIRCUIT, PARAMETERS)}
    try:
        circuit = parse(contents[CIRCUIT].decode(), str(folder / CIRCUIT))
        tensors = load_tensors(contents[PARAMETERS])
    except (PCCompilerError, SafetensorError, UnicodeDecodeError) as error:
        raise CheckpointError.of(
            "PC503", f"checkpoint {folder} cannot be read: {error}", help="save the model again"
        ) from error
    return circuit, tensors, manifest


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    content = _content(folder, MANIFEST, "give the folder that pccompiler.save wrote")
    try:
        manifest = parse_json(content)
    except ValueError:
        raise _damaged(path, "it is not JSON") from None
    if not isinstance(manifest, dict):
        raise _damaged(path, "it holds no JSON object")
    missing = _TYPES.keys() - manifest.keys()
    if missing:
        raise _damaged(path, f"it lacks {', '.join(sorted(missing))}")
    wrong = [name for name, kind in _TYPES.items() if not isinstance(manifest[name], kind)]
    if wrong:
        raise _damaged(path, f"{', '.join(wrong)} has another type")
    if manifest.get("format") != FORMAT:
        raise CheckpointError.of(
            "PC504",
            f"{folder} has checkpoint format {manifest.get('format')}, this version reads {FORMAT}",
            help=f"it was written by pccompiler {manifest.get('pccompiler')}; install that version",
        )
    _check_digest(path, manifest)
    return manifest


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError.of(
        "PC503",
        f"{path} is damaged: {why}",
        help="restore the file, or save the model again",
    )


def _check_digest(path: Path, manifest: dict[str, Any]) -> None:
    """Refuse a manifest that was changed; it holds the hashes of the other files."""
    if _DIGEST in manifest:
        if manifest[_DIGEST] != _manifest_digest(manifest):
            raise _damaged(path, "its digest is not that of its entries")
    elif not manifest.keys() <= _UNSIGNED:
        unknown = ", ".join(sorted(manifest.keys() - _UNSIGNED)[:5])
        raise _damaged(path, f"it has no digest, and unknown entries: {unknown}")
    else:
        _LOG.info("%s is of an older version and has no digest; it is read unverified", path)


def _manifest_digest(manifest: dict[str, Any]) -> str:
    """SHA-256 of all entries but the digest itself, however the file spaces them."""
    entries = {name: value for name, value in manifest.items() if name != _DIGEST}
    try:
        return _hash(json.dumps(entries, sort_keys=True).encode())
    except RecursionError:
        return ""  # nobody's digest: no checkpoint nests so deeply


def _verified(folder: Path, name: str, hashes: dict[str, str]) -> bytes:
    content = _content(folder, name, "restore the file, or save the model again")
    if _hash(content) != hashes.get(name):
        raise CheckpointError.of(
            "PC503",
            f"{folder / name} is not the file that was saved: {len(content)} bytes, other SHA-256",
            help="it was changed or cut short; restore the file, or save the model again",
        )
    return content


def _content(folder: Path, name: str, way_out: str) -> bytes:
    try:
        return read_regular(folder / name)
    except FileNotFoundError:
        raise CheckpointError.of("PC502", f"{folder} has no {name}", help=way_out) from None
    except OSError as error:
        raise CheckpointError.of(
            "PC520", f"{folder / name} cannot be read: {error.strerror}", help=way_out
        ) from None


def check_target(directory: str | Path) -> None:
    """Refuse to write over anything but a checkpoint: a folder with our three files alone.

    Raises:
        CheckpointError: If the path is a file, or a folder with other files.
    """
    target = Path(directory).resolve()
    inside = {path.name for path in target.iterdir()} if target.is_dir() else set[str]()
    is_ours = not inside or inside == {CIRCUIT, PARAMETERS, MANIFEST}
    if target == Path.cwd() or (target.exists() and not (target.is_dir() and is_ours)):
        raise CheckpointError.of(
            "PC505",
            f"{target} exists and is no checkpoint",
            help="give a new folder, or one that holds a checkpoint to replace",
        )


def _swap(staging: Path, target: Path) -> None:
    """Put ``staging`` in the place of ``target``; the old folder survives a failure."""
    if not target.exists():
        staging.rename(target)
        return
    old = target.with_name(f".{target.name}-old-{uuid.uuid4().hex[:8]}")
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
