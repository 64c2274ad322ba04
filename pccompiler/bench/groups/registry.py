"""All groups of cases, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pccompiler.bench.case import Case
from pccompiler.bench.groups.hclt import hclts, wide_sums
from pccompiler.bench.groups.hmm import hmms
from pccompiler.bench.groups.image import images
from pccompiler.bench.groups.network import networks
from pccompiler.bench.groups.rat_spn import rat_spns
from pccompiler.bench.groups.scalar import packed, scalars

GROUPS: tuple[Callable[[], Iterator[Case]], ...] = (
    rat_spns,
    hclts,
    wide_sums,
    images,
    hmms,
    scalars,
    packed,
    networks,
)
