"""A RAT-SPN-like circuit in simple-einet, with as many trees, levels and units as ours.

Its trees are full: variables are padded to a power of two. Its sums mix over the Kronecker product
of two children ("einsum") or, like ours, over the elementwise one ("linsum"), which is used here.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

from __future__ import annotations

from math import ceil, log2


def make(options):
    if options.structure != "rat-spn" or options.values != 2:
        raise NotImplementedError("only RAT-SPNs over binary variables are built in simple-einet")
    import torch
    from simple_einet.einet import Einet, EinetConfig
    from simple_einet.layers.distributions.binomial import Binomial

    torch.set_num_threads(options.threads)
    config = EinetConfig(
        num_features=options.n,
        num_channels=1,
        depth=max(1, ceil(log2(options.n)) - (options.n & (options.n - 1) > 0)),
        num_sums=options.units,
        num_leaves=options.units,
        num_repetitions=options.replicas,
        num_classes=1,
        leaf_type=Binomial,
        leaf_kwargs={"total_count": 1},
        layer_type="linsum",
        dropout=0.0,
    )
    model = Einet(config).to(options.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    x = torch.randint(0, 2, (options.batch, 1, options.n), device=options.device).float()

    def forward():
        with torch.no_grad():
            model(x)

    def gradients():
        optimizer.zero_grad()
        (-model(x).sum()).backward()

    def step():
        gradients()
        optimizer.step()

    runs = {"step": step, "gradients": gradients, "forward": forward}
    number = sum(p.numel() for p in model.parameters())
    return {"runs": runs, "notes": {"version": "simple-einet", "parameters": number}}
