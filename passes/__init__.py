"""Passes: circuit to circuit, checked on both sides; and the lowering to plans."""

if __name__ != "pccompiler.passes":  # this folder is the source of a subpackage, not a package
    raise ImportError(f"import 'pccompiler.passes', not {__name__!r}")

from pccompiler.passes.analysis.compatibility import Compatibility, compatibility
from pccompiler.passes.analysis.determinism.decide import Determinism, determinism
from pccompiler.passes.analysis.properties import Properties, properties, require
from pccompiler.passes.analysis.vtrees.find import structure
from pccompiler.passes.analysis.vtrees.vtree import Vtree
from pccompiler.passes.base import Pass
from pccompiler.passes.constraints import constrain
from pccompiler.passes.lowering.lower import plan
from pccompiler.passes.manager import PassManager
from pccompiler.passes.transforms.attach_direct import AttachDirect
from pccompiler.passes.transforms.attach_hypernetwork import AttachHypernetwork
from pccompiler.passes.transforms.check import Check, findings, verify
from pccompiler.passes.transforms.condition import Condition
from pccompiler.passes.transforms.marginalize import Marginalize
from pccompiler.passes.transforms.merge_nested import MergeNested
from pccompiler.passes.transforms.multiply import multiply
from pccompiler.passes.transforms.normalize import NormalizeWeights
from pccompiler.passes.transforms.pack.pack import Pack
from pccompiler.passes.transforms.partition_sectors import PartitionSectors
from pccompiler.passes.transforms.prune import Prune
from pccompiler.passes.transforms.share_equal import ShareEqual
from pccompiler.passes.transforms.smooth import Smooth
from pccompiler.passes.transforms.square import Square

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
    "constrain",
    "determinism",
    "findings",
    "multiply",
    "plan",
    "properties",
    "require",
    "structure",
    "verify",
]
