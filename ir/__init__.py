"""The intermediate representation: circuits, their text form, plans, and the oracle."""

if __name__ != "pccompiler.ir":  # this folder is the source of a subpackage, not a package
    raise ImportError(f"import 'pccompiler.ir', not {__name__!r}")

from pccompiler.ir.build.builder import Builder
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.families import Family
from pccompiler.ir.generators import Direct, Generator, Hypernetwork, Sectors
from pccompiler.ir.kinds import Kind
from pccompiler.ir.node_table import WeightTable
from pccompiler.ir.statistics import Statistics
from pccompiler.ir.text.parser import parse
from pccompiler.ir.text.printer import to_text
from pccompiler.ir.text.weight_files import read_circuit, write_circuit
from pccompiler.ir.variables import Variable, binary, categorical, count, real

__all__ = [
    "Builder",
    "Circuit",
    "Direct",
    "Family",
    "Generator",
    "Hypernetwork",
    "Kind",
    "Sectors",
    "Statistics",
    "Variable",
    "WeightTable",
    "binary",
    "categorical",
    "count",
    "parse",
    "read_circuit",
    "real",
    "to_text",
    "write_circuit",
]
