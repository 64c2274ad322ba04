"""Lowering: circuit to plan. Fold nodes into layers, order their rows, choose numeric forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Int, first_uses, hash_rows
from pccompiler.ir.generators import uses_sectors
from pccompiler.ir.plan import (
    Layer,
    Operands,
    Plan,
    Source,
    WeightGroup,
    default_generator,
    row_ids,
)
from pccompiler.ir.topology import reachable
from pccompiler.passes.forms import choose_forms

SMALLEST = {"float32": 1.2e-38, "float64": 2.3e-308}


def plan(circuit: Circuit, *, dtype: str = "float32", numerics: str = "auto") -> Plan:
    """Lower a checked circuit.

    Args:
        circuit: Smooth, decomposable, as the `check` pass has it.
        dtype: Precision that linear forms must be safe in.
        numerics: ``"auto"``: linear form where the weight floor proves that nothing underflows,
            else log. ``"log"``: log form everywhere.

    Source:
        The linear form with a scale is that of hidden Markov models (Rabiner 1989, section V.A).
    """
    groups, group_of, index_of = _groups(circuit)
    layers = [_bare_layer(circuit, nodes, group_of, index_of) for nodes in _fold(circuit, group_of)]
    layers = _order_rows(circuit, layers)
    layers = _link(circuit, layers)
    generator = circuit.generator or default_generator()
    return Plan(
        variables=circuit.variables,
        layers=choose_forms(layers, groups, generator.floor, SMALLEST[dtype], numerics == "log"),
        groups=groups,
        sectors=circuit.sectors,
        leaf_sectors=_leaf_sectors(circuit),
        generator=generator,
        log_scale=circuit.log_scale,
    )


def _fold(circuit: Circuit, group_of: Int) -> list[Int]:
    """Sets of nodes that are computed together, lowest level first, the root alone and last."""
    live = np.flatnonzero(reachable(circuit))
    live = live[live != circuit.root]
    elementwise = circuit.kind == Kind.PRODUCT  # any arity folds: operands have one width
    key = np.stack(
        [
            circuit.levels,
            circuit.kind,
            circuit.units,
            circuit.family,
            np.where(circuit.weight < 0, -1, group_of[circuit.weight]),
            np.where(elementwise, 0, circuit.fan_in),
            np.where(elementwise, 0, _width_hash(circuit)),
        ],
        axis=1,
    )[live]
    _, inverse = np.unique(_pack(key), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    folds = np.split(live[order], np.cumsum(np.bincount(inverse))[:-1]) if len(live) else []
    folds.sort(key=lambda nodes: (int(circuit.levels[nodes[0]]), int(nodes[0])))
    return [*folds, np.array([circuit.root])]


def _pack(key: Int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return hash_rows(key.astype(np.uint64))


def _width_hash(circuit: Circuit) -> Int:
    """A number for each node that is equal for equal sequences of operand widths."""
    position = np.arange(len(circuit.operands)) - np.repeat(circuit.pointer[:-1], circuit.fan_in)
    pairs = np.stack([position, circuit.units[circuit.operands]], axis=1).astype(np.uint64)
    totals = np.zeros(len(circuit.operands) + 1, np.uint64)
    np.cumsum(hash_rows(pairs), out=totals[1:])
    return (totals[circuit.pointer[1:]] - totals[circuit.pointer[:-1]]).astype(np.int64)


def _groups(circuit: Circuit) -> tuple[tuple[WeightGroup, ...], Int, Int]:
    """Stack weights of one owner kind and shape; also each weight's group and place in it."""
    table = circuit.weights
    owners = np.flatnonzero(circuit.weight >= 0)
    weight, first = np.unique(circuit.weight[owners], return_index=True)
    node = owners[first]
    owner = np.where(
        circuit.kind[node] == Kind.INPUT, 10 + circuit.family[node], circuit.kind[node]
    )
    covered = np.zeros(len(table), np.bool_)
    if circuit.sectors is not None and uses_sectors(circuit.generator):
        covered[circuit.sectors.weight] = True
    key = np.stack([owner, table.rows[weight], table.columns[weight], covered[weight]], axis=1)
    shapes, inverse = np.unique(key, axis=0, return_inverse=True)
    group_of, index_of = np.full(len(table), -1), np.full(len(table), -1)
    groups: list[WeightGroup] = []
    for number, (kind, rows, columns, generated) in enumerate(shapes.tolist()):
        members = weight[inverse.ravel() == number]
        group_of[members], index_of[members] = number, np.arange(len(members))
        keyword = Family(kind - 10).keyword if kind >= 10 else Kind(kind).keyword
        groups.append(
            WeightGroup(
                owner=keyword,
                rows=rows,
                columns=columns,
                weights=members,
                generated=bool(generated),
            )
        )
    return tuple(groups), group_of, index_of


def _leaf_sectors(circuit: Circuit) -> int:
    """Number of sectors of dense sums that read inputs only."""
    if circuit.sectors is None:
        return 0
    leaf_sums = (circuit.kind == Kind.SUM) & (circuit.levels == 1)
    return int(np.isin(circuit.sectors.weight, circuit.weight[leaf_sums]).sum())


def _bare_layer(circuit: Circuit, nodes: Int, group_of: Int, index_of: Int) -> Layer:
    kind = Kind(int(circuit.kind[nodes[0]]))
    weight = circuit.weight[nodes]
    has_weight = bool(weight[0] >= 0)
    return Layer(
        kind=kind,
        units=int(circuit.units[nodes[0]]),
        nodes=nodes,
        group=int(group_of[weight[0]]) if has_weight else -1,
        index=index_of[weight] if has_weight else None,
        family=Family(int(circuit.family[nodes[0]])) if kind == Kind.INPUT else None,
        variables=circuit.variable[nodes] if kind == Kind.INPUT else None,
    )


def _tables(circuit: Circuit, layer: Layer) -> list[Int]:
    """Operand node ids, shape (rows, arity).

    An elementwise product has one table for each arity, one below the other. Other kinds have one
    table if all operands have one width, else one for each operand, side by side.
    """
    if layer.kind == Kind.INPUT:
        return []
    arity = circuit.fan_in[layer.nodes]
    flat = circuit.operands[circuit.edges_of(layer.nodes)]
    if layer.kind == Kind.PRODUCT:
        owner = np.repeat(arity, arity)
        return [flat[owner == size].reshape(-1, size) for size in np.unique(arity).tolist()]
    table = flat.reshape(layer.rows, -1)
    widths = circuit.units[table[0]]
    if (widths == widths[0]).all() and layer.kind != Kind.KRONECKER:
        return [table]
    return list(table.T[:, :, None])


def _order_rows(circuit: Circuit, layers: list[Layer]) -> list[Layer]:
    """Order each layer's rows by first use, top down, so that operands lie side by side."""
    layer_of, _ = row_ids(tuple(layers), circuit.num_nodes)
    wanted: list[list[Int]] = [[] for _ in layers]
    ordered: list[Layer] = []
    for number in reversed(range(len(layers))):
        layer = layers[number]
        if wanted[number]:
            nodes = first_uses(np.concatenate(wanted[number]))
            layer = _permuted(layer, _by_arity(circuit, layer.kind, nodes))
        for table in _tables(circuit, layer):
            flat = table.T.ravel()
            for below in np.unique(layer_of[flat]):
                wanted[below].append(flat[layer_of[flat] == below])
        ordered.append(layer)
    return ordered[::-1]


def _by_arity(circuit: Circuit, kind: Kind, nodes: Int) -> Int:
    if kind != Kind.PRODUCT:
        return nodes
    return nodes[np.argsort(circuit.fan_in[nodes], kind="stable")]


def _permuted(layer: Layer, nodes: Int) -> Layer:
    order = np.argsort(layer.nodes)
    order = order[np.searchsorted(layer.nodes[order], nodes)]
    return replace(
        layer,
        nodes=layer.nodes[order],
        index=None if layer.index is None else layer.index[order],
        variables=None if layer.variables is None else layer.variables[order],
    )


def _link(circuit: Circuit, layers: list[Layer]) -> list[Layer]:
    """Point each layer at the rows of its operands."""
    layer_of, row_of = row_ids(tuple(layers), circuit.num_nodes)
    return [
        replace(
            layer,
            operands=tuple(
                _operands(table, int(circuit.units[table[0, 0]]), layer_of, row_of)
                for table in _tables(circuit, layer)
            ),
        )
        for layer in layers
    ]


def _operands(table: Int, units: int, layer_of: Int, row_of: Int) -> Operands:
    flat = table.T.ravel()
    home = layer_of[flat]
    sources: list[Source] = []
    for layer in np.unique(home).tolist():
        positions = np.flatnonzero(home == layer)
        sources.append(Source(layer, row_of[flat[positions]], positions))
    first = sources[0].rows
    in_a_row = len(sources) == 1 and bool((np.diff(first) == 1).all())
    return Operands(
        rows=table.shape[0],
        arity=table.shape[1],
        units=units,
        sources=tuple(sources),
        start=int(first[0]) if in_a_row else None,
    )
