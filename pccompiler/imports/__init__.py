"""Reads circuits from other programs' files and from objects of other packages."""

from pccompiler.imports.bayesian.elimination import BayesianNetwork, compile_network
from pccompiler.imports.formats.bif import read_bif, read_network
from pccompiler.imports.formats.nnf import read_nnf
from pccompiler.imports.formats.psdd import read_psdd
from pccompiler.imports.formats.sdd import read_sdd
from pccompiler.imports.formats.spn import read_spn
from pccompiler.imports.formats.vtree import Vtree, read_vtree
from pccompiler.imports.packages.cirkit import from_cirkit
from pccompiler.imports.packages.pyjuice import from_pyjuice
from pccompiler.imports.packages.spflow.read import from_spflow
from pccompiler.imports.read import read

__all__ = [
    "BayesianNetwork",
    "Vtree",
    "compile_network",
    "from_cirkit",
    "from_pyjuice",
    "from_spflow",
    "read",
    "read_bif",
    "read_network",
    "read_nnf",
    "read_psdd",
    "read_sdd",
    "read_spn",
    "read_vtree",
]
