"""Posteriors and most probable states of a Bayesian network by pgmpy's variable elimination.

One row at a time, as pgmpy answers. Every second variable is known, with states drawn uniformly.
Its most probable states are found in one table over all unknown variables, so only few can be.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

from __future__ import annotations

import random

MOST_UNKNOWN = 10


def make(options):
    if options.structure != "bayesian-network":
        raise NotImplementedError("only Bayesian networks are read by pgmpy")
    if options.batch != 1:
        raise NotImplementedError("pgmpy answers one row at a time")
    import importlib.metadata

    from pgmpy.inference import VariableElimination
    from pgmpy.readwrite import BIFReader

    model = BIFReader(options.network).get_model()
    engine = VariableElimination(model)
    names = [f"x{i}" for i in range(options.n)]
    states = {name: model.get_cpds(name).state_names[name] for name in names}
    rng = random.Random(0)
    known = {name: rng.choice(states[name]) for name in names[1::2]}
    asked = names[::2]

    def posterior(name):
        return engine.query([name], evidence=known, show_progress=False)

    runs = {
        "posterior_one": lambda: posterior(asked[0]),
        "posterior_marginals": lambda: [posterior(name) for name in asked],
    }
    if len(asked) <= MOST_UNKNOWN:
        runs["mpe"] = lambda: engine.map_query(asked, evidence=known, show_progress=False)
    return {
        "runs": runs,
        "notes": {"version": "pgmpy " + importlib.metadata.version("pgmpy")},
    }
