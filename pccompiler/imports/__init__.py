"""Circuits that other programs wrote, and objects of other packages, which are not imported."""

from pccompiler.imports.bif import read_bif, read_network
from pccompiler.imports.cirkit import from_cirkit
from pccompiler.imports.elimination import BayesianNetwork, compile_network
from pccompiler.imports.logic import read_nnf, read_sdd
from pccompiler.imports.psdd import read_psdd
from pccompiler.imports.pyjuice import from_pyjuice
from pccompiler.imports.read import read
from pccompiler.imports.spflow import from_spflow
from pccompiler.imports.spn import read_spn
from pccompiler.imports.vtree import Vtree, read_vtree

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
