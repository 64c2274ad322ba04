"""Passes: circuit to circuit, checked on both sides; and the lowering to plans."""

if __name__ != "pccompiler.passes":  # this folder is the source of a subpackage, not a package
    raise ImportError(f"import 'pccompiler.passes', not {__name__!r}")

from pccompiler.passes.attach_hypernetwork import AttachHypernetwork
from pccompiler.passes.base import Pass
from pccompiler.passes.check import Check, findings, verify
from pccompiler.passes.compatibility import Compatibility, compatibility
from pccompiler.passes.condition import Condition
from pccompiler.passes.determinism import Determinism, determinism
from pccompiler.passes.direct_weights import AttachDirect
from pccompiler.passes.manager import PassManager
from pccompiler.passes.marginalize import Marginalize
from pccompiler.passes.merge_nested import MergeNested
from pccompiler.passes.multiply import multiply
from pccompiler.passes.normalize import NormalizeWeights
from pccompiler.passes.pack import Pack
from pccompiler.passes.partition_sectors import PartitionSectors
from pccompiler.passes.plan import plan
from pccompiler.passes.properties import Properties, properties, require
from pccompiler.passes.prune import Prune
from pccompiler.passes.share_equal import ShareEqual
from pccompiler.passes.smooth import Smooth
from pccompiler.passes.square import Square
from pccompiler.passes.vtrees import structure
from pccompiler.passes.vtrees_tree import Vtree

__all__ = [
    "AttachDirect",
    "AttachHypernetwork",
    "Check",
    "Compatibility",
    "Condition",
    "Determinism",
    "Marginalize",
    "MergeNested",
    "NormalizeWeights",
    "Pack",
    "PartitionSectors",
    "Pass",
    "PassManager",
    "Properties",
    "Prune",
    "ShareEqual",
    "Smooth",
    "Square",
    "Vtree",
    "compatibility",
    "determinism",
    "findings",
    "multiply",
    "plan",
    "properties",
    "require",
    "structure",
    "verify",
]
