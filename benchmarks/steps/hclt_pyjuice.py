"""The same HCLT in PyJuice, for `benchmarks.steps.hclt_step`; imported only if PyJuice exists.

PyJuice's own builder gives leaves of the tree no latent of their own; ours does. ``same=True``
builds our circuit, sum for sum, with PyJuice's nodes; ``same=False`` is `juice.structures.HCLT`'s
circuit over the same tree. Its backward pass adds up flows, which are what expectation maximisation
counts (parameter times gradient): one flow for each parameter, as many numbers as our gradients.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D102, D103

import networkx as nx
import pyjuice as juice
import torch
from pyjuice.nodes.distributions import Categorical
from pyjuice.structures.compilation import BayesianTreeToHiddenRegionGraph

from pccompiler.bench.peers import with_pyjuice


def use_cuda_kernels(wanted):
    """Whether PyJuice may build CUTLASS kernels (nvcc, minutes) in addition to Triton kernels."""
    from pyjuice.layer import sum_layer

    for name in ("FORWARD_SUM_CUDA", "BACKWARD_ELE_FLOW_CUDA", "BACKWARD_PAR_FLOW_CUDA"):
        setattr(sum_layer, name, wanted)


def circuit(edges, variables, latents, states, same):
    if same:
        nodes = with_pyjuice.hclt(edges, variables, latents, states)
    else:
        tree = nx.Graph()
        tree.add_nodes_from(range(variables))
        tree.add_edges_from(edges)
        nodes = BayesianTreeToHiddenRegionGraph(
            tree, nx.center(tree)[0], latents, Categorical, {"num_cats": states}
        )
    return _made(nodes)


def rat_spn(variables, replicas, units, states):
    return _made(with_pyjuice.rat_spn(variables, replicas, units, states))


def hmm(length, latents, words):
    return _made(juice.structures.HMM(length, latents, words))


def _made(nodes):
    nodes.init_parameters(perturbation=2.0)
    return juice.TensorCircuit(nodes).to(torch.device("cuda"))


class Step:
    """One forward and backward pass, with PyJuice's own CUDA graphs of its inner layers."""

    def __init__(self, made, x, logspace=True, record=True):
        self.made, self.x = made, x
        self.options = {
            "flows_memory": 0.0,
            "allow_modify_flows": not logspace,
            "logspace_flows": logspace,
            "apply_cudagraph": record,
        }
        for _ in range(2):  # autotunes and compiles
            self.forward()
            self.made.backward(self.x, **self.options)
        if record:
            self.forward(True)
            self.made.backward(self.x, record_cudagraph=True, **self.options)

    def forward(self, record=False):
        with torch.no_grad():
            return self.made(
                self.x, record_cudagraph=record, apply_cudagraph=self.options["apply_cudagraph"]
            )

    def __call__(self):
        out = self.forward()
        self.made.backward(self.x, **self.options)
        return out


def own_error(made, x):
    """Relative differences of defaults from ``force_use_fp32``: log-likelihoods and flows."""
    found = []
    for exact in (False, True):
        with torch.no_grad():
            out = made(x, force_use_fp32=exact, apply_cudagraph=False).flatten().double()
        made.backward(x, flows_memory=0.0, force_use_fp32=exact, apply_cudagraph=False)
        found.append((out, made.param_flows.double().clone()))
    (a, fa), (b, fb) = found
    return float(((a - b) / b).abs().max()), float((fa - fb).norm() / fb.norm())
