"""All passes by name."""

from pccompiler.passes.attach_hypernetwork import AttachDirect, AttachHypernetwork
from pccompiler.passes.base import Pass
from pccompiler.passes.check_pass import Check
from pccompiler.passes.partition_sectors import PartitionSectors
from pccompiler.passes.prune import Prune

PASSES: dict[str, type[Pass]] = {
    "check": Check,
    "direct": AttachDirect,
    "hypernet": AttachHypernetwork,
    "prune": Prune,
    "sectors": PartitionSectors,
}
