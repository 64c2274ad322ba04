"""Checkpoints: a folder with the circuit's text, the parameters and a manifest.

``circuit.pcir`` is the IR, ``parameters.safetensors`` the parameters; ``model.json`` says how the
model was compiled, has its schema if there is one, and the hashes of the other two files. The
folder appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from pccompiler.errors import CheckpointError, PCCompilerError
from pccompiler.files import left_behind, replacing_folder, write_bytes
from pccompiler.frames import Schema
from pccompiler.ir import Circuit, parse, to_text
from pccompiler.reading import parse_json, read_regular
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.soundness import unsound
from pccompiler.version import __version__

_LOG: Final = logging.getLogger(__name__)
_TRIES = 500
FORMAT = 1
CIRCUIT, PARAMETERS, MANIFEST = "circuit.pcir", "parameters.safetensors", "model.json"


_TYPES = {"dtype": str, "format": int, "numerics": str, "sha256": dict}
"""Required entries of a manifest."""
_DIGEST = "digest"
_UNSIGNED = {"format", "pccompiler", "dtype", "numerics", "fingerprint", "sha256"}
"""The only entries of manifests without a digest, which older versions wrote."""


def save(model: CompiledCircuit, directory: str | Path) -> Path:
    """Write ``model`` to ``directory``, replacing any checkpoint there.

    Raises:
        CheckpointError: If the path is a file, or a folder that is not a checkpoint, or parameters
            are not finite.
        FileError: If the folder cannot be written.
    """
    target = Path(directory).resolve()
    check_target(target)
    check_parameters(model, dict(model.weights.values.items()), "the model cannot be saved")
    text = to_text(model.circuit).encode()
    tensors = {n: p.detach().cpu().contiguous() for n, p in model.weights.values.items()}
    blob = save_tensors(tensors)
    manifest = {
        "format": FORMAT,
        "pccompiler": __version__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "numerics": model.numerics,
        "seed": model.weights.seed,
        "fingerprint": model.circuit.fingerprint,
        "sha256": {CIRCUIT: _hash(text), PARAMETERS: _hash(blob)},
    }
    if model.schema is not None:
        manifest["schema"] = model.schema.as_dict()
    manifest[_DIGEST] = _manifest_digest(manifest)
    files = {
        CIRCUIT: text,
        PARAMETERS: blob,
        MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode(),
    }
    with replacing_folder(target) as staging:
        for name, content in files.items():
            write_bytes(staging / name, content)
    return target


Content: TypeAlias = tuple[Circuit, dict[str, torch.Tensor], dict[str, Any]]
"""Circuit, parameters and manifest; values of the manifest are JSON, hence ``Any``."""


def read(directory: str | Path) -> Content:
    """Read and verify the circuit, parameters and manifest of a checkpoint.

    If another process saves there at the same time, this returns either its model or the previous
    one. If a save was killed between its two renames, what it left is read, with a warning.

    Raises:
        CheckpointError: If a file is missing, truncated or changed.
    """
    folder = Path(directory)
    for _ in range(_TRIES):
        before = _identity(folder)
        try:
            return _read(folder)
        except CheckpointError:
            found = [] if before else left_behind(folder)
            if _identity(folder) != before:
                continue  # it was replaced in the meantime
            if all(dead for _, dead in found):
                kept = _sound(folder, [path for path, _ in found])
                if kept is None:
                    raise
                return kept
            time.sleep(0.01)  # another process is between the two renames
    return _read(folder)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Distinguishes a folder from its replacement; ``None`` if it does not exist."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _sound(folder: Path, candidates: list[Path]) -> Content | None:
    """The newest complete checkpoint among ``candidates``."""
    known: list[tuple[int, Path, Content]] = []
    for path in candidates:
        with contextlib.suppress(CheckpointError, OSError):
            known.append(((path / MANIFEST).stat().st_mtime_ns, path, _read(path)))
    if not known:
        return None
    _, path, content = max(known, key=lambda entry: entry[0])
    _LOG.warning(
        "%s is missing because saving was interrupted; %s is complete and was read instead",
        folder,
        path,
    )
    return content


def _read(folder: Path) -> Content:
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
        raise _damaged(path, "it is not valid JSON") from None
    if not isinstance(manifest, dict):
        raise _damaged(path, "it does not hold a JSON object")
    missing = _TYPES.keys() - manifest.keys()
    if missing:
        raise _damaged(path, f"it lacks {', '.join(sorted(missing))}")
    wrong = [name for name, kind in _TYPES.items() if not isinstance(manifest[name], kind)]
    if wrong:
        raise _damaged(path, f"{', '.join(wrong)} has the wrong type")
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
    """Refuse a manifest that was changed, since it holds the hashes of the other files."""
    if _DIGEST in manifest:
        if manifest[_DIGEST] != _manifest_digest(manifest):
            raise _damaged(path, "its digest does not match its entries")
    elif not manifest.keys() <= _UNSIGNED:
        unknown = ", ".join(sorted(manifest.keys() - _UNSIGNED)[:5])
        raise _damaged(path, f"it has no digest, but has unknown entries: {unknown}")
    else:
        _LOG.info("%s was written by an older version without a digest; it is not verified", path)


def _manifest_digest(manifest: dict[str, Any]) -> str:
    """SHA-256 of all entries except the digest itself, whatever the file's whitespace."""
    entries = {name: value for name, value in manifest.items() if name != _DIGEST}
    try:
        return _hash(json.dumps(entries, sort_keys=True).encode())
    except RecursionError:
        return ""  # matches no digest: checkpoints are never nested this deeply


def _verified(folder: Path, name: str, hashes: dict[str, str]) -> bytes:
    content = _content(folder, name, "restore the file, or save the model again")
    if _hash(content) != hashes.get(name):
        raise CheckpointError.of(
            "PC503",
            f"{folder / name} is not the file that was saved: {len(content)} bytes, wrong SHA-256",
            help="it was changed or truncated; restore the file, or save the model again",
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
    """Refuse to overwrite anything but a checkpoint: a folder with only our three files.

    Raises:
        CheckpointError: If the path is a file, or a folder with other files.
    """
    target = Path(directory).resolve()
    try:
        inside = {path.name for path in target.iterdir()}
    except FileNotFoundError:  # or another process is replacing it at this moment
        return
    except NotADirectoryError:
        inside = {target.name}
    if target == Path.cwd() or inside not in (set[str](), {CIRCUIT, PARAMETERS, MANIFEST}):
        raise CheckpointError.of(
            "PC505",
            f"{target} exists and is not a checkpoint",
            help="give a new folder, or an existing checkpoint to replace",
        )


def check_parameters(
    model: CompiledCircuit, tensors: Mapping[str, torch.Tensor], what: str
) -> None:
    """Refuse parameters that no model can have; ``what`` starts the message.

    Raises:
        CheckpointError: Names those that are not floating-point, or hold NaN or a bad infinity.
    """
    notes = [f"{name} {why}" for name, why in unsound(model, tensors).items()]
    if notes:
        raise CheckpointError.of(
            "PC506",
            f"{what}: {len(notes)} of its {len(tensors)} parameters cannot be used",
            notes=notes,
            help="use an earlier model, or train again with a lower learning rate; parameters are "
            "finite float32 or float64 numbers",
        )


def schema_of(manifest: Mapping[str, Any]) -> Schema | None:
    """The schema of the model, if it has one.

    Raises:
        DataError: If it is damaged.
    """
    return Schema.from_dict(manifest["schema"]) if "schema" in manifest else None


def seed_of(manifest: Mapping[str, Any]) -> int | None:
    """The seed that the parameters were drawn with, if known; some may have changed since."""
    seed = manifest.get("seed")
    return seed if isinstance(seed, int) and 0 <= seed < 2**63 else None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
