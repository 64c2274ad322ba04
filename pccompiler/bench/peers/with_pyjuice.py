"""The same circuits in PyJuice, sum by sum: HCLTs, RAT-SPNs, homogeneous HMMs; CUDA only.

Its backward pass counts flows (parameter times gradient, as expectation maximisation does), one for
each parameter, which is compared with our gradients. PyJuice replays CUDA graphs of its own.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

from __future__ import annotations

import json
import random

STEP_SIZE, PSEUDOCOUNT = 0.1, 0.1
"""Those of our steps of EM."""


def make(options):
    if options.device != "cuda":
        raise NotImplementedError("PyJuice's kernels need CUDA")
    import importlib.metadata

    import pyjuice as juice
    import torch

    torch.set_num_threads(options.threads)
    if options.structure == "hclt":
        with open(options.tree) as file:
            nodes = hclt(json.load(file), options.n, options.units, options.values)
    elif options.structure == "rat-spn":
        nodes = rat_spn(options.n, options.replicas, options.units, options.values)
    elif options.structure == "hmm":
        nodes = juice.structures.HMM(options.n, options.units, options.values)
    else:
        raise NotImplementedError(f"{options.structure} is not built in PyJuice")
    nodes.init_parameters(perturbation=2.0)
    circuit = juice.TensorCircuit(nodes)
    circuit.to(torch.device("cuda"))
    x = torch.randint(0, options.values, (options.batch, options.n), device="cuda")

    def forward(record=False):
        with torch.no_grad():
            circuit(x, record_cudagraph=record)

    def gradients(record=False):
        forward(record)
        circuit.backward(
            x, flows_memory=0.0, allow_modify_flows=False, logspace_flows=True,
            record_cudagraph=record,
        )  # fmt: skip

    def em():
        gradients()
        circuit.mini_batch_em(step_size=STEP_SIZE, pseudocount=PSEUDOCOUNT)

    for _ in range(2):  # compiles, tunes, then records
        gradients()
    gradients(True)
    runs = {"gradients": gradients, "forward": forward, "em": em}
    notes = {
        "version": "PyJuice " + importlib.metadata.version("pyjuice"),
        "parameters": int(circuit.params.numel()),
    }
    return {"runs": runs, "notes": notes}


def hclt(edges, variables, latents, values):
    """A latent for each variable, in the shape of the tree; its centre at the top."""
    import networkx as nx
    from pyjuice.nodes import inputs, multiply, set_block_size, summate
    from pyjuice.nodes.distributions import Categorical

    tree = nx.Graph()
    tree.add_nodes_from(range(variables))
    tree.add_edges_from(edges)
    root = nx.center(tree)[0]
    below = nx.bfs_tree(tree, root)
    block = latents & -latents  # the largest power of two that divides it
    blocks = latents // block
    made = {}
    with set_block_size(block):
        for v in nx.dfs_postorder_nodes(tree, root):
            leaf = inputs(v, num_node_blocks=blocks, dist=Categorical(num_cats=values))
            product = multiply(*(made[child] for child in below.successors(v)), leaf)
            if v == root:
                return summate(product, num_node_blocks=1, block_size=1)
            made[v] = summate(product, num_node_blocks=blocks)
    raise AssertionError("a tree has a root")


def rat_spn(variables, replicas, units, values):
    """Random trees by pairing; the roots' products are mixed at once."""
    from pyjuice.nodes import inputs, set_block_size, summate
    from pyjuice.nodes.distributions import Categorical

    rng = random.Random(0)
    tops = []
    block = units & -units
    with set_block_size(block):
        for _ in range(replicas):
            order = rng.sample(range(variables), variables)
            dist = Categorical(num_cats=values)
            level = [inputs(v, num_node_blocks=units // block, dist=dist) for v in order]
            tops.append(halved(level, units // block))
        return summate(*tops, num_node_blocks=1, block_size=1)


def halved(level, blocks):
    """Pairs of regions joined, and sums over them, until one product is left."""
    from pyjuice.nodes import multiply, summate

    while True:
        groups = [level[i : i + 2] for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            groups[-1].append(level[-1])
        products = [multiply(*group) for group in groups]
        if len(products) == 1:
            return products[0]
        level = [summate(product, num_node_blocks=blocks) for product in products]
