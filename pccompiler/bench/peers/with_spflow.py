"""The paper's circuit in SPFlow 0.0, unit by unit, in NumPy: log-likelihoods and MPE.

Its EM is for trees only: it fails on these circuits, whose products have several sums above them.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

from __future__ import annotations

LARGEST = 100


def make(options):
    if options.structure != "rat-spn" or options.values != 2:
        raise NotImplementedError("only RAT-SPNs over binary variables are built in SPFlow")
    if options.n > LARGEST:
        raise NotImplementedError(
            f"SPFlow has one object per unit: too slow over {LARGEST} variables"
        )
    import importlib.metadata

    import numpy as np
    from spn.algorithms.Inference import log_likelihood
    from spn.algorithms.MPE import mpe
    from spn.structure.Base import assign_ids, rebuild_scopes_bottom_up

    root = circuit(options.n, options.replicas, options.units, np.random.default_rng(0))
    rebuild_scopes_bottom_up(root)
    assign_ids(root)
    x = np.random.default_rng(1).integers(0, 2, (options.batch, options.n)).astype(float)
    holey = x.copy()
    holey[:, ::2] = np.nan
    return {
        "runs": {
            "forward": lambda: log_likelihood(root, x),
            "mpe": lambda: mpe(root, holey),
        },
        "notes": {"version": "SPFlow " + importlib.metadata.version("spflow")},
    }


def circuit(n, replicas, units, rng):
    """Random trees by pairing: a region is a list of nodes, one a unit."""
    roots = []
    for _ in range(replicas):
        level = [leaves(int(v), units, rng) for v in rng.permutation(n)]
        while len(level) > 1:
            last = len(level) <= 3
            width = 1 if last else units
            groups = [level[i : i + 2] for i in range(0, len(level) - 1, 2)]
            if len(level) % 2:
                groups[-1].append(level[-1])
            level = [joined(group, width, rng) for group in groups]
        roots.append(level[0][0])
    return mixture(roots, rng)


def leaves(variable, units, rng):
    from spn.structure.leaves.parametric.Parametric import Categorical

    return [Categorical(p=rng.dirichlet([1.0, 1.0]).tolist(), scope=variable) for _ in range(units)]


def joined(group, units, rng):
    from spn.structure.Base import Product

    products = [Product(children=list(operands)) for operands in zip(*group, strict=True)]
    return [mixture(products, rng) for _ in range(units)]


def mixture(nodes, rng):
    from spn.structure.Base import Sum

    return Sum(weights=rng.dirichlet([1.0] * len(nodes)).tolist(), children=list(nodes))
