"""The paper's circuit, and quad trees, in cirkit: direct weights, folded, log-sum-exp.

RAT-SPNs equal ours layer by layer. Quad trees are those of `cirkit.templates.data_modalities`,
`image_data(..., "quad-tree-2", input_layer="categorical", sum_product_layer="cp-t")`, which has no
option for the number of values; only splits of odd sides differ from ours (docs/howto/bench.md).
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

from __future__ import annotations

import math


def make(options):
    if (options.structure, options.values) != ("rat-spn", 2) and options.structure != "quad-tree":
        raise NotImplementedError("only binary RAT-SPNs and quad trees are built in cirkit")
    import importlib.metadata

    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    circuit = compiled(options).to(options.device)
    x = torch.randint(0, options.values, (options.batch, options.n), device=options.device)
    return {
        "runs": runs(circuit, x),
        "notes": {
            "version": "cirkit " + importlib.metadata.version("libcirkit"),
            "parameters": sum(p.numel() for p in circuit.parameters()),
        },
    }


def compiled(options):
    from cirkit.pipeline import PipelineContext

    context = PipelineContext(backend="torch", semiring="lse-sum", fold=True, optimize=True)
    return context.compile(symbolic(options))


def runs(circuit, x):
    import torch

    optimizer = torch.optim.Adam(circuit.parameters(), lr=5e-3)

    def forward():
        with torch.no_grad():
            circuit(x)

    def gradients():
        optimizer.zero_grad()
        loss = -circuit(x).sum()
        loss.backward()
        return loss.detach()

    def step():
        loss = gradients()
        optimizer.step()
        return loss

    return {"step": step, "gradients": gradients, "forward": forward}


def symbolic(options):
    from cirkit.templates import utils
    from cirkit.templates.region_graph import QuadTree, RandomBinaryTree

    softmax = utils.Parameterization(activation="softmax", initialization="normal")
    if options.structure == "quad-tree":
        side = math.isqrt(options.n)
        regions = QuadTree((1, side, side), num_patch_splits=2)
    else:
        regions = RandomBinaryTree(options.n, num_repetitions=options.replicas, seed=0)
    return regions.build_circuit(
        input_factory=utils.name_to_input_layer_factory(
            "categorical", num_categories=options.values
        ),
        sum_product="cp-t",
        sum_weight_factory=utils.parameterization_to_factory(softmax),
        num_input_units=options.units,
        num_sum_units=options.units,
    )
