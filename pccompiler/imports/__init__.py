"""Circuits that other programs wrote."""

from pccompiler.imports.bif import read_bif, read_network
from pccompiler.imports.elimination import BayesianNetwork, compile_network
from pccompiler.imports.logic import read_nnf, read_sdd
from pccompiler.imports.psdd import read_psdd
from pccompiler.imports.read import read
from pccompiler.imports.spn import read_spn
from pccompiler.imports.vtree import Vtree, read_vtree

__all__ = [
    "BayesianNetwork",
    "Vtree",
    "compile_network",
    "read",
    "read_bif",
    "read_network",
    "read_nnf",
    "read_psdd",
    "read_sdd",
    "read_spn",
    "read_vtree",
]
