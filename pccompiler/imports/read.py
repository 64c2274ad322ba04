"""Reads a circuit file of any format."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from pccompiler.errors import ImportFormatError, OptionError
from pccompiler.imports.bayesian.elimination import MOST_NODES
from pccompiler.imports.bayesian.orders import RESTARTS, Heuristic
from pccompiler.imports.formats.bif import read_bif
from pccompiler.imports.formats.lines import read_text
from pccompiler.imports.formats.nnf import read_nnf
from pccompiler.imports.formats.psdd import read_psdd
from pccompiler.imports.formats.sdd import read_sdd
from pccompiler.imports.formats.spn import read_spn
from pccompiler.ir import Circuit
from pccompiler.ir import read_circuit as read_text_circuit
from pccompiler.ir.text.weight_files import parse_beside
from pccompiler.plugins import Registry, functions

Reader = Callable[..., Circuit]
"""Takes the path of a file, and by name those options of `read` that make sense for its format."""


def _read_pcir(path: Path) -> Circuit:
    return parse_beside(read_text(path), path)


IMPORTERS = Registry[Reader](
    "pccompiler.importers",
    {
        "pcir": _read_pcir,
        "psdd": read_psdd,
        "spn": read_spn,
        "sdd": read_sdd,
        "nnf": read_nnf,
        "ddnnf": read_nnf,
        "bif": read_bif,
    },
    functions("a function from a path to a Circuit"),
)
"""Readers by the ending of the files, ours and those of other packages."""


def read(
    path: str | Path,
    *,
    vtree: str | Path | None = None,
    format: str | None = None,
    order: Sequence[str] | Heuristic | None = None,
    restarts: int = RESTARTS,
    most_nodes: int | None = MOST_NODES,
) -> Circuit:
    """Read a circuit that this or another program wrote.

    Args:
        path: The file; ``.gz`` is unpacked.
        vtree: The vtree of a PSDD or SDD; by default ``NAME.vtree`` next to ``NAME.psdd``, if it
            exists.
        format: One of `IMPORTERS`; by default the file's extension.
        order: Elimination order of a Bayesian network: its variables in order, ``"min-fill"`` or
            ``"min-weight"``; by default the cheapest of several (see `compile_network`).
        restarts: How many further orders are tried for a Bayesian network.
        most_nodes: The most nodes of a Bayesian network's circuit; ``None``: no limit.

    Raises:
        ImportFormatError: Names the file and line that is wrong.
        ParseError: If a ``.pcir`` file is wrong.
        PluginError: If the reader of another package cannot be loaded.
    """
    file = Path(path)
    name = file.name.removesuffix(".gz")
    kind = (format or name.rpartition(".")[2]).removeprefix(".").lower()
    reader = IMPORTERS.get(kind)
    if reader is None:
        raise _unknown(file, kind, format)
    takes = signature(reader).parameters
    search: dict[str, Any] = {"order": order, "restarts": restarts, "most_nodes": most_nodes}
    if "order" not in takes:
        if search != {"order": None, "restarts": RESTARTS, "most_nodes": MOST_NODES}:
            raise ImportFormatError.of(
                "PC747",
                "order, restarts and most_nodes are only for Bayesian networks",
                location=str(file),
                help="leave them out, or give a .bif file",
            )
        search = {}
    if "vtree" not in takes and vtree is not None:
        raise ImportFormatError.of(
            "PC706",
            f"a .{kind} file has no vtree, but {vtree} was given with it",
            location=str(file),
            help="leave the vtree out, or give the .psdd or .sdd file that it belongs to",
        )
    if "vtree" not in takes:
        return reader(file, **search)
    beside = file.with_name(name.rpartition(".")[0] + ".vtree")
    tree = vtree if vtree is not None else beside if os.path.exists(beside) else None
    return reader(file, vtree=tree, **search)


def read_circuit(path: Path) -> Circuit:
    """A circuit from a text file, a checkpoint folder, or a file of another program."""
    file = path / "circuit.pcir" if path.is_dir() else path
    kind = file.suffix.removeprefix(".")
    if kind == "gz" or (kind != "pcir" and kind in IMPORTERS):
        return read(file)
    try:
        return read_text_circuit(file)
    except OSError as error:
        raise OptionError.of(
            "PC310",
            f"{file} cannot be read as a circuit: {error.strerror}",
            help="give a .pcir text file",
        ) from None


def _unknown(file: Path, kind: str, format: str | None) -> ImportFormatError:
    ways = "use one of " + ", ".join(f".{name}" for name in IMPORTERS) + ", or give the format"
    if kind == "vtree":
        ways = "give the .psdd or .sdd file; a .vtree file of the same name next to it is found"
    what = "has no circuit extension" if format is None else f"has unknown format {format!r}"
    return ImportFormatError.of("PC700", f"{file} {what}", help=ways)
