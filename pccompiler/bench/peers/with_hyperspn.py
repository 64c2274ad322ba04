"""The HyperSPN authors' code, from a checkout of their repository."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

from __future__ import annotations

from types import SimpleNamespace


def make(options):
    if options.structure != "rat-spn" or options.values != 2:
        raise NotImplementedError("the authors' code has RAT-SPNs over binary variables only")
    import torch
    from hyperspn.inference_utils import log_density_fn
    from hyperspn.model_utils import create_model

    torch.set_num_threads(options.threads)
    x = torch.randint(0, 2, (options.batch, options.n), device=options.device).float()
    kind = "hyperspn" if options.weights == "hypernetwork" else "spn"
    sizes = SimpleNamespace(modeltype=kind, h=5, N=options.units, R=options.replicas)
    model = create_model(x, sizes, options.device)
    optimizer = torch.optim.Adam(list(model.parameters()), lr=5e-3)

    def forward():
        with torch.no_grad():
            log_density_fn(x, model)

    def gradients():
        optimizer.zero_grad()
        (-log_density_fn(x, model)).backward()

    def step():
        gradients()
        optimizer.step()

    runs = {"step": step, "gradients": gradients, "forward": forward}
    return {"runs": runs, "notes": {"version": "HyperSPN's authors' code, " + kind}}
