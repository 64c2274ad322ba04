"""Weights files, checkpoints and ONNX files, with valid digests of odd content."""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.correctness.readers.texts import checked_text
from pccompiler.testing.mutants import damage, mutated_json, mutated_text

Rng = np.random.Generator
MASS = 1e-4


# Weights next to a text: the digest in the text is updated, so that reading continues.


@cache
def weights() -> list[bytes]:
    """A weights file for the text of `beside`."""
    from safetensors.numpy import save

    tables = np.array([[[0.25, 0.75]], [[0.5, 0.5]]])
    labels = json.dumps({"1x2": ["w", "v"], "1x1": ["a", "b"]})
    leaves = np.array([[[0.25]], [[0.5]]])
    return [save({"1x2": tables, "1x1": leaves}, metadata={"labels": labels})]


def safetensors_mutant(content: bytes, rng: Rng) -> bytes:
    """Damage bytes, the header or the labels."""
    if rng.random() < 0.2:
        return damage(content, rng)
    size = int.from_bytes(content[:8], "little")
    header: Any = json.loads(content[8 : 8 + size])  # of any JSON
    if rng.random() < 0.6:
        labels = json.loads(header["__metadata__"]["labels"])
        header["__metadata__"]["labels"] = mutated_json(labels, rng)
        text = json.dumps(header).encode()
    else:
        text = mutated_json(header, rng).encode("utf-8", "surrogateescape")
    claimed = len(text) if rng.random() < 0.9 else int(rng.integers(2**40))
    return claimed.to_bytes(8, "little") + text + content[8 + size :]


def beside(content: bytes, folder: Path) -> object:
    """A text that names this content as its weights file, by its digest."""
    (folder / "a.safetensors").write_bytes(content)
    (folder / "a.pcir").write_text(
        "pcir 1\nvariable x binary\n%a = input x bernoulli 1 @a\n%b = input x bernoulli 1 @b\n"
        "%s = sum 1 %a %b @w\n%t = sum 1 %b %a @v\n%r = mixture %s %t @u\nweight @u 0.5 0.5\n"
        f'root %r\nweights "a.safetensors" sha256={hashlib.sha256(content).hexdigest()}\n'
    )
    return checked_text(folder / "a.pcir")


@cache
def checkpoint() -> dict[str, bytes]:
    """The files of a small checkpoint."""
    import pccompiler as pc

    with tempfile.TemporaryDirectory() as folder:
        path = pc.save(pc.compile(pc.rat_spn(2, 1, 2), seed=1), Path(folder) / "m")
        return {file.name: file.read_bytes() for file in path.iterdir()}


def checkpoint_mutant(content: bytes, rng: Rng) -> bytes:
    """All files as one: damage bytes, or change a file or the manifest with matching hashes."""
    files = dict(checkpoint())
    if rng.random() < 0.4:
        name = sorted(files)[int(rng.integers(3))]
        files[name] = damage(files[name], rng)
    else:
        name = ["circuit.pcir", "parameters.safetensors"][int(rng.integers(2))]
        if rng.random() < 0.6:
            change = mutated_text if name == "circuit.pcir" else _safetensors_plain
            files[name] = change(files[name], rng)
        manifest: Any = json.loads(files["model.json"])  # of any JSON
        manifest["sha256"][name] = hashlib.sha256(files[name]).hexdigest()
        del manifest["digest"], manifest["seed"]  # like older versions: read unverified
        files["model.json"] = json.dumps(manifest).encode()
        if rng.random() < 0.5:
            text = mutated_json(manifest, rng)
            files["model.json"] = text.encode("utf-8", "surrogateescape")
    return b"\0---\0".join(files[name] for name in sorted(files))


def _safetensors_plain(content: bytes, rng: Rng) -> bytes:
    size = int.from_bytes(content[:8], "little")
    text = mutated_json(json.loads(content[8 : 8 + size]), rng).encode("utf-8", "surrogateescape")
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def load_checkpoint(content: bytes, folder: Path) -> object:
    """Load the three files of a checkpoint, and query the model."""
    import pccompiler as pc

    (folder / "m").mkdir(exist_ok=True)
    parts = content.split(b"\0---\0")
    for name, part in zip(sorted(checkpoint()), parts, strict=False):
        (folder / "m" / name).write_bytes(part)
    return pc.load(folder / "m").log_likelihood(np.zeros((1, 2)))


@cache
def exported() -> list[bytes]:
    """A small exported model."""
    from pccompiler.ir.plan.parameters import lay_out
    from pccompiler.onnx_backend import export
    from pccompiler.passes import plan
    from pccompiler.structures import rat_spn

    lowered = plan(rat_spn(2, 1, 2))
    zeros = {n: np.zeros(s, np.float32) for n, s in lay_out(lowered).shapes.items()}
    with tempfile.TemporaryDirectory() as folder:
        return [export(lowered, zeros, Path(folder) / "m.onnx", rows_to_check=3).path.read_bytes()]


def exported_mutant(content: bytes, rng: Rng) -> bytes:
    """Damage bytes, or the variables in the metadata, without the digest."""
    import onnx

    if rng.random() < 0.4:
        return damage(content, rng)
    model = onnx.load_model_from_string(content)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    del entries["pccompiler.digest"]
    if rng.random() < 0.3:
        model = onnx.load_model_from_string(content.replace(b"pccompiler.digest", b"x" * 17))
    listed = json.loads(entries["pccompiler.variables"])
    text = mutated_json(listed, rng).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    onnx.helper.set_model_props(model, {**entries, "pccompiler.variables": text})
    plain: bytes = model.SerializeToString()
    return plain


def answer(path: Path) -> object:
    """Load a model and compute its mass, which is 1."""
    from pccompiler.onnx_backend import OnnxModel

    model = OnnxModel(path)
    log_mass = model.log_likelihood(np.full((1, 2), np.nan))
    assert abs(log_mass[0]) < MASS, f"log mass {log_mass[0]}"
    return log_mass
