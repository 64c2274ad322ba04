"""Location-scale families, in float32."""

from __future__ import annotations

import numpy as np

from pccompiler.onnx_backend.leaves.base import LeafNodes


def scaled(leaf: LeafNodes, log_constant: float) -> tuple[str, str]:
    """Standardized values (minus the location, over the scale), and the log-normalizer.

    Args:
        leaf: Its parameters are the location and the scale.
        log_constant: Logarithm of the normalizer at scale 1; it is proportional to the scale.
    """
    graph = leaf.graph
    middle = leaf.derived(
        "middle", lambda v: v[..., :1], lambda raw: graph.slice(raw, 0, 1, axis=2), np.float32
    )
    spread = leaf.derived(
        "spread",
        lambda v: v[..., 1:],
        lambda raw: graph.op("Exp", graph.slice(raw, 1, 2, axis=2)),
        np.float32,
    )
    normalizer = leaf.derived(
        "log_normalizer",
        lambda v: np.log(v[..., 1:]) + log_constant,
        lambda raw: graph.op("Add", graph.slice(raw, 1, 2, axis=2), graph.constant(log_constant)),
        np.float32,
    )
    return graph.op("Div", graph.op("Sub", leaf.values, middle), spread), normalizer
