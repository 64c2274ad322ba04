"""Reads compiled circuits of cirkit (torch backend), without importing it.

cirkit stacks layers of equal shape as *folds*; each fold becomes one vector node here. Written from
the package's documented behaviour, without using its code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pccompiler.imports.packages.domains import Leaf, rounded
from pccompiler.imports.packages.vector_nodes import Objects, class_of, stranger, unsupported
from pccompiler.imports.packages.versions import reading
from pccompiler.ir import Circuit, Family
from pccompiler.ir.arrays import Float, Int

PACKAGE = "cirkit"


@reading(PACKAGE)
def from_cirkit(circuit: Any) -> Circuit:
    """The vector circuit of a cirkit circuit, with its parameters as they are now.

    Layers: Hadamard, Kronecker, sum, and the fused layers of optimized compilation (CP-T, Tucker,
    tensor dot); inputs: categorical, binomial, Gaussian, embedding. Parameter graphs are evaluated.
    Variable v becomes ``x{v+1}``; columns are in this order. Rows that do not sum to 1 because of
    float32 rounding are divided by their sum; if the circuit does not sum to one for other
    reasons, ``log_scale`` has the rest.

    Args:
        circuit: A compiled ``TorchCircuit``; or a symbolic ``Circuit``, which is compiled in the
            current pipeline context (unless it already is) and has the parameters of the compiled
            one (an untyped object).

    Raises:
        ImportFormatError: Names a layer without counterpart, negative or complex parameters, or
            the number of outputs if there is more than one.

    Source:
        Loconte et al. (2025), "What is the Relationship between Tensor Factorizations and
        Circuits (and How Can We Exploit it)?", for the layers.
    """
    kind = class_of(circuit, PACKAGE)
    if kind == "Circuit":
        circuit = importlib.import_module("cirkit.pipeline").compile(circuit)
        kind = class_of(circuit, PACKAGE)
    if kind != "TorchCircuit":
        raise stranger(circuit, PACKAGE, "a compiled TorchCircuit, or a symbolic Circuit")
    return _Reader(circuit).read()


class _Reader:
    """Makes nodes of all folds of all layers; ``folds[i]`` has the node ids of layer i."""

    def __init__(self, circuit: Any) -> None:
        self.objects = Objects(PACKAGE)
        self.entries = list(circuit.address_book)
        self.folds: list[Int] = []

    def read(self) -> Circuit:
        for number, entry in enumerate(self.entries[:-1]):
            self.folds.append(self.layer(number, entry))
        roots = self.operands(self.entries[-1]).ravel()
        if len(roots) != 1:
            raise self.objects.fail(
                "PC746",
                f"the circuit has {len(roots)} outputs",
                "give a circuit with one output; make one circuit for each",
            )
        return self.objects.circuit(int(roots[0]))

    def operands(self, entry: Any) -> Int:
        """The nodes that an entry of the address book gathers, shape (folds, arity)."""
        nodes = np.concatenate([self.folds[i] for i in entry.in_module_ids[0]])
        where = entry.in_fold_idx[0]
        if hasattr(where, "detach"):
            where = where.detach().cpu().numpy()
        return np.asarray(nodes[where], np.int64)

    def layer(self, number: int, entry: Any) -> Int:
        """The nodes of a layer, one per fold."""
        layer = entry.module
        name = class_of(layer, PACKAGE)
        label = f"{name} {number}"
        if name in _INPUTS:
            leaves = _INPUTS[name](self, layer, label)
            made = [self.objects.input(leaf, f"{label} fold {f}") for f, leaf in enumerate(leaves)]
        elif name in _INNER:
            made = self.inner(layer, name, label, self.operands(entry).reshape(layer.num_folds, -1))
        else:
            raise unsupported("layers", name or type(layer).__qualname__, PACKAGE, _SUPPORTED)
        return np.array(made, np.int64)

    def inner(self, layer: Any, name: str, label: str, operands: Int) -> list[int]:
        tables = self.parameter(layer, "weight", label) if "weight" in layer.params else None
        made: list[int] = []
        for fold, below in enumerate(operands.tolist()):
            where = f"{label} fold {fold}"
            if name in ("TorchHadamardLayer", "TorchCPTLayer"):
                below = [self.objects.product(below, where)]
            elif name in ("TorchKroneckerLayer", "TorchTuckerLayer"):
                below = [self.objects.kronecker(below, where)]
            if tables is None:
                made.append(below[0])
                continue
            table = tables[fold]
            if name == "TorchTensorDotLayer":
                table = _tensor_dot(table, layer.num_input_units)
            made.append(self.objects.sum(below, table, where))
        return made

    def parameter(self, layer: Any, name: str, label: str, least: float = 0.0) -> Float:
        """A parameter, evaluated: one table per fold. Rows rounded by float32 are renormalized."""
        values = layer.params[name]()
        table = self.objects.numbers(values, f"the {name} of {label}", least=least)
        single = values.element_size() < 8
        return (
            rounded(table) if single and name in ("weight", "probs") and table.ndim == 3 else table
        )

    def variables(self, layer: Any, label: str) -> list[int]:
        """The variable of each fold of an input layer."""
        scope = np.asarray(layer.scope_idx.detach().cpu().numpy())
        if scope.ndim != 2 or scope.shape[1] != 1:
            raise self.objects.fail(
                "PC741", f"{label} is over {scope.shape[-1]} variables", "give inputs over one"
            )
        return [int(variable) for variable in scope[:, 0]]


def _tensor_dot(table: Float, inputs: int) -> Float:
    """The dense weights of a sum over one of two axes of its operand's units.

    Unit (q, k) of the result, k fastest, is the sum over j of ``table[k, j]`` times input (j, q).
    """
    outer, inner = table.shape
    rest = inputs // inner
    dense = np.einsum("kj,qr->qkjr", table, np.eye(rest))
    return np.asarray(dense.reshape(rest * outer, inputs), np.float64)


def _embedding(reader: _Reader, layer: Any, label: str) -> list[Leaf]:
    tables = reader.parameter(layer, "weight", label)
    variables = reader.variables(layer, label)
    return [Leaf(Family.CATEGORICAL, v, t) for v, t in zip(variables, tables, strict=True)]


def _categorical(reader: _Reader, layer: Any, label: str) -> list[Leaf]:
    """Probabilities; or logits, whose exponentials need not sum to one."""
    variables = reader.variables(layer, label)
    if "probs" in layer.params:
        tables = reader.parameter(layer, "probs", label)
        return [Leaf(Family.CATEGORICAL, v, t) for v, t in zip(variables, tables, strict=True)]
    logits = reader.parameter(layer, "logits", label, -np.inf)
    top = logits.max(axis=2)
    tables = np.exp(logits - top[:, :, None])
    return [
        Leaf(Family.CATEGORICAL, v, t, scale)
        for v, t, scale in zip(variables, tables, top, strict=True)
    ]


def _binomial(reader: _Reader, layer: Any, label: str) -> list[Leaf]:
    if "probs" in layer.params:
        chances = reader.parameter(layer, "probs", label)
    else:
        logits = reader.parameter(layer, "logits", label, -np.inf)
        chances = np.exp(-np.logaddexp(0.0, -logits))
    return [
        Leaf(Family.BINOMIAL, v, p[:, None], trials=int(layer.total_count))
        for v, p in zip(reader.variables(layer, label), chances, strict=True)
    ]


def _gaussian(reader: _Reader, layer: Any, label: str) -> list[Leaf]:
    parts = [reader.parameter(layer, name, label, -np.inf) for name in ("mean", "stddev")]
    tables = np.stack(parts, axis=2)
    scales = np.zeros(tables.shape[:2])
    if "log_partition" in layer.params:
        scales = reader.parameter(layer, "log_partition", label, -np.inf)
    variables = reader.variables(layer, label)
    return [
        Leaf(Family.GAUSSIAN, v, table, scale)
        for v, table, scale in zip(variables, tables, scales, strict=True)
    ]


_INPUTS: dict[str, Callable[[_Reader, Any, str], list[Leaf]]] = {
    "TorchEmbeddingLayer": _embedding,
    "TorchCategoricalLayer": _categorical,
    "TorchBinomialLayer": _binomial,
    "TorchGaussianLayer": _gaussian,
}
_INNER = (
    "TorchHadamardLayer",
    "TorchKroneckerLayer",
    "TorchSumLayer",
    "TorchCPTLayer",
    "TorchTuckerLayer",
    "TorchTensorDotLayer",
)
_SUPPORTED = (*_INPUTS, *_INNER)
