"""How sum weights come to be: sectors, and the generators that fill them."""

from pccompiler.ir.generators.base import WEIGHT_FLOOR, Generator, uses_sectors
from pccompiler.ir.generators.direct import Direct
from pccompiler.ir.generators.hypernetwork import Hypernetwork
from pccompiler.ir.generators.sectors import SectorPolicy, Sectors

__all__ = [
    "WEIGHT_FLOOR",
    "Direct",
    "Generator",
    "Hypernetwork",
    "SectorPolicy",
    "Sectors",
    "uses_sectors",
]
