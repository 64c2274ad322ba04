"""One door to all files."""

from __future__ import annotations

import os
from pathlib import Path

from pccompiler.errors import ImportFormatError
from pccompiler.imports.bif import read_bif
from pccompiler.imports.lines import read_text
from pccompiler.imports.logic import read_nnf, read_sdd
from pccompiler.imports.psdd import read_psdd
from pccompiler.imports.spn import read_spn
from pccompiler.ir import Circuit
from pccompiler.ir.weight_files import parse_beside

FORMATS = ("pcir", "psdd", "spn", "sdd", "nnf", "bif")


def read(
    path: str | Path, *, vtree: str | Path | None = None, format: str | None = None
) -> Circuit:
    """Read a circuit that this or another program wrote.

    Args:
        path: The file; ``.gz`` is unpacked.
        vtree: Of a PSDD or SDD; by default ``NAME.vtree`` beside ``NAME.psdd``, if it is there.
        format: One of `FORMATS`; by default the file's ending.

    Raises:
        ImportFormatError: Naming the file and line that is wrong.
        ParseError: Of a ``.pcir`` file.
    """
    file = Path(path)
    name = file.name.removesuffix(".gz")
    kind = (format or name.rpartition(".")[2]).removeprefix(".").lower()
    if kind not in FORMATS:
        raise _unknown(file, kind, format)
    if kind not in ("psdd", "sdd"):
        return _read_alone(file, kind, vtree)
    beside = file.with_name(name.rpartition(".")[0] + ".vtree")
    tree = vtree if vtree is not None else beside if os.path.exists(beside) else None
    return (read_psdd if kind == "psdd" else read_sdd)(file, tree)


def _read_alone(file: Path, kind: str, vtree: str | Path | None) -> Circuit:
    if vtree is not None:
        raise ImportFormatError.of(
            "PC706",
            f"a .{kind} file has no vtree, but {vtree} was given with it",
            location=str(file),
            help="leave the vtree out, or give the .psdd or .sdd file that it belongs to",
        )
    if kind == "nnf":
        return read_nnf(file)
    if kind == "spn":
        return read_spn(file)
    if kind == "bif":
        return read_bif(file)
    return parse_beside(read_text(file), file)


def _unknown(file: Path, kind: str, format: str | None) -> ImportFormatError:
    ways = "use one of " + ", ".join(f".{name}" for name in FORMATS) + ", or say the format"
    if kind == "vtree":
        ways = "give the .psdd or .sdd file; the .vtree of its name beside it is found"
    what = "does not end as a circuit does" if format is None else f"has no format {format!r}"
    return ImportFormatError.of("PC700", f"{file} {what}", help=ways)
