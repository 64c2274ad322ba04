"""Families with a place and a scale, in float32."""

from __future__ import annotations

import numpy as np

from pccompiler.onnx_backend.leaves.base import LeafNodes


def scaled(leaf: LeafNodes, log_constant: float) -> tuple[str, str]:
    """Values less the place, over the scale, and the logarithm of the normalizer.

    Args:
        leaf: Its parameters are the place and the scale.
        log_constant: Of the normalizer, which is proportional to the scale.
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
