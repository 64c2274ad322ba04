"""Circuit objects of SPFlow, cirkit and PyJuice: conversion time, and differences of results.

Each in an environment with the package and pccompiler's dependencies (numpy, networkx,
safetensors, and torch if our values come from it):

    PYTHONPATH=. spflow-env/bin/python -m benchmarks.structures.object_imports spflow
    PYTHONPATH=. cirkit-env/bin/python -m benchmarks.structures.object_imports cirkit
    PYTHONPATH=. pyjuice-env/bin/python -m benchmarks.structures.object_imports pyjuice

Prints a JSON line a circuit: nodes, seconds, and the largest difference of log-likelihoods.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.structures.node_by_node import NodeByNode
from pccompiler.imports import from_cirkit, from_pyjuice, from_spflow
from pccompiler.ir import Circuit
from pccompiler.passes import verify

SHARED = Path(__file__).parents[3] / "shared"
Float = NDArray[np.float64]


def show(name: str, convert: Callable[[], Circuit], **found: object) -> Circuit:
    """Convert, check, and print."""
    start = time.perf_counter()
    circuit = convert()
    seconds = round(time.perf_counter() - start, 3)
    verify(circuit)
    facts = {"nodes": circuit.num_nodes, "edges": len(circuit.operands), "convert_s": seconds}
    print(json.dumps({"circuit": name, **facts, "log_scale": circuit.log_scale, **found}))
    return circuit


def differences(name: str, wanted: Float, found: Float) -> None:
    """Print the means, and the largest difference."""
    worst = float(np.abs(wanted - found).max())
    mean = {
        "mean_theirs": round(float(wanted.mean()), 4),
        "mean_ours": round(float(found.mean()), 4),
    }
    print(json.dumps({"circuit": name, "rows": len(wanted), **mean, "largest_difference": worst}))


def spflow() -> None:
    """nltcs.spn as SPFlow nodes, on the test rows; without torch, node by node."""
    from spn.algorithms.Inference import log_likelihood  # type: ignore[import-not-found]  # pyright: ignore

    from benchmarks.structures.spflow_rows import load
    from pccompiler.datasets import load as data

    root = load(str(SHARED / "circuits" / "nltcs.spn.gz"))
    circuit = show("nltcs.spn by SPFlow", lambda: from_spflow(root))
    x = data("nltcs", SHARED / "data").test.astype(np.float64)
    wanted = np.asarray(log_likelihood(root, x))[:, 0]
    differences("nltcs.spn by SPFlow", wanted, NodeByNode(circuit).log_likelihood(x))


def cirkit() -> None:
    """Quad trees over images, in float64.

    cirkit 0.3.1 keeps logarithms of products above -708.4, so that circuits with Hadamard layers
    are compared on images small enough to stay there; fused Tucker layers have no such floor.
    """
    import torch
    from cirkit.pipeline import PipelineContext  # pyright: ignore
    from cirkit.templates import data_modalities, utils  # pyright: ignore

    import pccompiler as pc

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    softmax = utils.Parameterization(activation="softmax", initialization="normal")
    circuits = ((8, "cp", "categorical"), (28, "tucker", "categorical"), (28, "tucker", "binomial"))
    for side, kind, inputs in circuits:
        symbolic = data_modalities.image_data(
            (1, side, side),
            region_graph="quad-tree-2",
            input_layer=inputs,
            num_input_units=8,
            sum_product_layer=kind,
            num_sum_units=8,
            sum_weight_param=softmax,
        )
        theirs: Any = PipelineContext(
            backend="torch", semiring="lse-sum", fold=True, optimize=True
        ).compile(symbolic)
        name = f"quad tree {side} x {side}, {kind}, {inputs}"
        circuit = show(name, lambda t=theirs: from_cirkit(t))  # type: ignore[misc]
        x = torch.randint(0, 256, (100, side * side))
        with torch.no_grad():
            wanted = theirs(x)[:, 0, 0].numpy()
            found = pc.compile(circuit, dtype="float64").log_likelihood(x.double()).numpy()
        differences(name, wanted, found)


def pyjuice() -> None:
    """A hidden Chow-Liu tree over 100 variables of 8 states with 16 latents."""
    import pyjuice as juice  # type: ignore[import-not-found]  # pyright: ignore
    import torch

    torch.manual_seed(0)
    data = torch.randint(0, 8, (500, 100)).float()
    root = juice.structures.HCLT(data, num_latents=16, input_node_params={"num_cats": 8})
    root.init_parameters()
    show("HCLT, 100 variables, 16 latents", lambda: from_pyjuice(root))


if __name__ == "__main__":
    {"spflow": spflow, "cirkit": cirkit, "pyjuice": pyjuice}[sys.argv[1]]()
