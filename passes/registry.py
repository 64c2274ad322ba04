"""All passes by name."""

from pccompiler.passes.attach_hypernetwork import AttachHypernetwork
from pccompiler.passes.base import Pass
from pccompiler.passes.check import Check
from pccompiler.passes.direct_weights import AttachDirect
from pccompiler.passes.partition_sectors import PartitionSectors
from pccompiler.passes.prune import Prune

PASSES: dict[str, type[Pass]] = {
    "check": Check,
    "direct": AttachDirect,
    "hypernet": AttachHypernetwork,
    "prune": Prune,
    "sectors": PartitionSectors,
}
