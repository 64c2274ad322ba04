"""``pccompiler datasets``: the named data sets."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from pccompiler.commands.support import DataDir


def datasets(
    data_dir: DataDir = None,
) -> None:
    """List the named data sets, with the paper's test log-likelihoods."""
    from pccompiler.datasets import info, names

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "n", "train", "valid", "test", "SPN+WD", "HyperSPN", "collection"):
        table.add_column(heading, justify="left" if heading in ("name", "collection") else "right")
    for name in names():
        entry = info(name)
        sizes = (entry.num_variables, entry.num_train, entry.num_valid, entry.num_test)
        paper = ("", "")
        if entry.paper is not None:
            paper = (f"{entry.paper.weight_decay:.2f}", f"{entry.paper.hyperspn:.2f}")
        table.add_row(name, *(f"{size:,}" for size in sizes), *paper, entry.collection)
    Console(soft_wrap=True, highlight=False).print(table)
