"""All passes by name: ours, and those that other packages declare in ``pccompiler.passes``."""

from pccompiler.passes.base import Pass
from pccompiler.passes.transforms.attach_direct import AttachDirect
from pccompiler.passes.transforms.attach_hypernetwork import AttachHypernetwork
from pccompiler.passes.transforms.check import Check
from pccompiler.passes.transforms.condition import Condition
from pccompiler.passes.transforms.marginalize import Marginalize
from pccompiler.passes.transforms.merge_nested import MergeNested
from pccompiler.passes.transforms.normalize import NormalizeWeights
from pccompiler.passes.transforms.pack.pack import Pack
from pccompiler.passes.transforms.partition_sectors import PartitionSectors
from pccompiler.passes.transforms.prune import Prune
from pccompiler.passes.transforms.share_equal import ShareEqual
from pccompiler.passes.transforms.smooth import Smooth
from pccompiler.passes.transforms.square import Square
from pccompiler.plugins import Registry, subclasses

OURS: dict[str, type[Pass]] = {
    "check": Check,
    "condition": Condition,
    "direct": AttachDirect,
    "hypernet": AttachHypernetwork,
    "marginalize": Marginalize,
    "merge": MergeNested,
    "normalize": NormalizeWeights,
    "pack": Pack,
    "prune": Prune,
    "sectors": PartitionSectors,
    "share": ShareEqual,
    "smooth": Smooth,
    "square": Square,
}
PASSES = Registry(
    "pccompiler.passes", OURS, subclasses(Pass, "a subclass of pccompiler.passes.Pass")
)
