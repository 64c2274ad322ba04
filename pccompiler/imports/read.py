"""One door to all files."""

from __future__ import annotations

from pathlib import Path

from pccompiler.errors import ImportFormatError
from pccompiler.imports.bif import read_bif
from pccompiler.imports.lines import read_text
from pccompiler.imports.logic import read_nnf, read_sdd
from pccompiler.imports.psdd import read_psdd
from pccompiler.imports.spn import read_spn
from pccompiler.ir import Circuit, parse

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
    kind = format or file.name.removesuffix(".gz").rpartition(".")[2]
    if kind not in FORMATS:
        raise ImportFormatError.of(
            "PC700",
            f"{file} does not end as a circuit does",
            help="use one of " + ", ".join(f".{name}" for name in FORMATS) + ", or say the format",
        )
    beside = file.with_name(file.name.removesuffix(".gz").removesuffix(f".{kind}") + ".vtree")
    tree = vtree if vtree is not None else beside if beside.exists() else None
    if kind == "psdd":
        return read_psdd(file, tree)
    if kind == "sdd":
        return read_sdd(file, tree)
    if kind == "nnf":
        return read_nnf(file)
    if kind == "spn":
        return read_spn(file)
    if kind == "bif":
        return read_bif(file)
    return parse(read_text(file), str(file))
