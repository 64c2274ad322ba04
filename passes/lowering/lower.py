"""Lowers a circuit to a plan: fold nodes into layers, order their rows, choose numeric forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Int, first_uses, segments
from pccompiler.ir.generators import uses_sectors
from pccompiler.ir.kinds import PRODUCTS
from pccompiler.ir.plan.layers import Layer, Operands, Source, WeightGroup
from pccompiler.ir.plan.plan import Plan, default_generator, row_ids
from pccompiler.passes.lowering.blocks import in_blocks
from pccompiler.passes.lowering.fold import Bool, fold
from pccompiler.passes.lowering.numeric_forms import choose_forms

SMALLEST = {"float32": 1.2e-38, "float64": 2.3e-308}


def plan(
    circuit: Circuit, *, dtype: str = "float32", numerics: str = "auto", splits: int = 0
) -> Plan:
    """Lower a checked circuit.

    Args:
        circuit: Well-formed; the `check` pass verifies that.
        dtype: Precision in which linear forms must be safe.
        numerics: ``"auto"``: linear form where the weight floor proves that nothing underflows,
            otherwise log. ``"log"``: log form everywhere.
        splits: How far layers are cut into blocks that are evaluated in post-order, see
            `pccompiler.passes.lowering.blocks`; 0: not at all. Packed plans are never cut.

    Source:
        The scaled linear form is that of hidden Markov models (Rabiner 1989, section V.A).
    """
    groups, group_of, index_of = _groups(circuit)
    folds, ragged, packed = fold(circuit, group_of)
    if not packed:
        folds = in_blocks(circuit, folds, splits)
    part_of = _parts(circuit, group_of, ragged)
    layers = [_bare_layer(circuit, nodes, group_of, index_of, ragged) for nodes in folds]
    layers = _order_rows(circuit, layers, part_of)
    layers = _link(circuit, layers, part_of)
    generator = circuit.generator or default_generator()
    return Plan(
        variables=circuit.variables,
        layers=choose_forms(
            layers, groups, generator.floor, SMALLEST[dtype], packed or numerics == "log"
        ),
        groups=groups,
        sectors=circuit.sectors,
        leaf_sectors=_leaf_sectors(circuit),
        generator=generator,
        log_scale=circuit.log_scale,
        packed=packed,
    )


def _groups(circuit: Circuit) -> tuple[tuple[WeightGroup, ...], Int, Int]:
    """Groups of weights with the same owner kind and shape; each weight's group and index in it."""
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


def _parts(circuit: Circuit, group_of: Int, ragged: Bool) -> Int:
    """For each node, the part of its layer that it belongs to: its arity, or its weight group."""
    part = np.where(circuit.kind == Kind.PRODUCT, circuit.fan_in, 0)
    part[ragged] = group_of[circuit.weight[ragged]]
    return part


def _bare_layer(circuit: Circuit, nodes: Int, group_of: Int, index_of: Int, ragged: Bool) -> Layer:
    kind = Kind(int(circuit.kind[nodes[0]]))
    weight = circuit.weight[nodes]
    has_weight = bool(weight[0] >= 0)
    groups = np.unique(group_of[weight]).tolist() if ragged[nodes[0]] else []
    return Layer(
        kind=kind,
        units=int(circuit.units[nodes[0]]),
        nodes=nodes,
        group=int(group_of[weight[0]]) if has_weight and not groups else -1,
        groups=tuple(groups),
        index=index_of[weight] if has_weight else None,
        family=circuit.family_of(nodes[0]) if kind == Kind.INPUT else None,
        variables=circuit.variable[nodes] if kind == Kind.INPUT else None,
    )


def _tables(circuit: Circuit, layer: Layer, part_of: Int) -> list[Int]:
    """Operand node ids, shape (rows, arity).

    Elementwise products and ragged sums have one table for each part, stacked. Other products, and
    sums over different widths, have one for each operand, side by side; other sums have one.
    """
    if layer.kind == Kind.INPUT:
        return []
    flat = circuit.operands[circuit.edges_of(layer.nodes)]
    if layer.kind == Kind.PRODUCT or layer.ragged:
        return _stacked_tables(flat, circuit.fan_in[layer.nodes], part_of[layer.nodes])
    table = flat.reshape(layer.rows, -1)
    widths = circuit.units[table[0]]
    if (widths == widths[0]).all() and layer.kind not in PRODUCTS:
        return [table]
    return list(table.T[:, :, None])


def _stacked_tables(flat: Int, arity: Int, part: Int) -> list[Int]:
    """One table for each part; rows are in the order of parts."""
    first = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]]))
    edges = segments(arity)[first]
    return [
        table.reshape(-1, size)
        for table, size in zip(np.split(flat, edges[1:]), arity[first].tolist(), strict=True)
    ]


def _order_rows(circuit: Circuit, layers: list[Layer], part_of: Int) -> list[Layer]:
    """Order each layer's rows by first use, top down, so that operands are adjacent."""
    layer_of, _ = row_ids(tuple(layers), circuit.num_nodes)
    wanted: list[list[Int]] = [[] for _ in layers]
    ordered: list[Layer] = []
    for number in reversed(range(len(layers))):
        layer = layers[number]
        if wanted[number]:
            nodes = first_uses(np.concatenate(wanted[number]))
            wanted[number] = []
            layer = _permuted(layer, nodes[np.argsort(part_of[nodes], kind="stable")])
        for table in _tables(circuit, layer, part_of):
            flat = table.T.ravel()
            for below, positions in by_value(layer_of[flat]):
                wanted[below].append(flat[positions])
        ordered.append(layer)
    return ordered[::-1]


def by_value(values: Int) -> list[tuple[int, Int]]:
    """Each distinct value, ascending, and its positions, ascending."""
    if not len(values):
        return []
    if bool((values == values[0]).all()):
        return [(int(values[0]), np.arange(len(values)))]
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    return list(zip(ranked[starts].tolist(), np.split(order, starts[1:]), strict=True))


def _permuted(layer: Layer, nodes: Int) -> Layer:
    order = np.argsort(layer.nodes)
    order = order[np.searchsorted(layer.nodes[order], nodes)]
    return replace(
        layer,
        nodes=layer.nodes[order],
        index=None if layer.index is None else layer.index[order],
        variables=None if layer.variables is None else layer.variables[order],
    )


def _link(circuit: Circuit, layers: list[Layer], part_of: Int) -> list[Layer]:
    """Point each layer at the rows of its operands."""
    layer_of, row_of = row_ids(tuple(layers), circuit.num_nodes)
    return [
        replace(
            layer,
            operands=tuple(
                _operands(table, int(circuit.units[table[0, 0]]), layer_of, row_of)
                for table in _tables(circuit, layer, part_of)
            ),
        )
        for layer in layers
    ]


def _operands(table: Int, units: int, layer_of: Int, row_of: Int) -> Operands:
    flat = table.T.ravel()
    sources = [
        Source(layer, row_of[flat[positions]], positions)
        for layer, positions in by_value(layer_of[flat])
    ]
    first = sources[0].rows
    in_a_row = len(sources) == 1 and bool((np.diff(first) == 1).all())
    return Operands(
        rows=table.shape[0],
        arity=table.shape[1],
        units=units,
        sources=tuple(sources),
        start=int(first[0]) if in_a_row else None,
    )
