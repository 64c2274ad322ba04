"""All passes by name."""

from pccompiler.passes.attach_hypernetwork import AttachHypernetwork
from pccompiler.passes.base import Pass
from pccompiler.passes.check import Check
from pccompiler.passes.condition import Condition
from pccompiler.passes.direct_weights import AttachDirect
from pccompiler.passes.marginalize import Marginalize
from pccompiler.passes.merge_nested import MergeNested
from pccompiler.passes.normalize import NormalizeWeights
from pccompiler.passes.pack import Pack
from pccompiler.passes.partition_sectors import PartitionSectors
from pccompiler.passes.prune import Prune
from pccompiler.passes.share_equal import ShareEqual
from pccompiler.passes.smooth import Smooth
from pccompiler.passes.square import Square

PASSES: dict[str, type[Pass]] = {
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
