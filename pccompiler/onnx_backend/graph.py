"""A small writer of ONNX graphs: names, constants without copies, nodes in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

OPSET = 18
IR_VERSION = 9  # what ONNX Runtime 1.16 and newer read


class Graph:
    """Nodes and initializers under construction. Methods return the name of their result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, values: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """An initializer; equal constants are stored once."""
        array = np.ascontiguousarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = f"c{len(self.initializers)}"
            self.initializers.append(numpy_helper.from_array(array, name))
            self._known[key] = name
        return self._known[key]

    def ints(self, *values: int) -> str:
        """A constant vector of int64."""
        return self.constant(values, np.int64)

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node with one result (attributes are what ONNX takes, hence ``Any``)."""
        result = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], **attributes))
        return result

    def rows(self, tensor: str, start: int, stop: int) -> str:
        """``tensor[start:stop]``."""
        return self.op("Slice", tensor, self.ints(start), self.ints(stop), self.ints(0))

    def take(self, tensor: str, rows: NDArray[np.int64]) -> str:
        """``tensor[rows]``, as a slice where the rows lie side by side."""
        first = int(rows[0])
        if bool((np.diff(rows) == 1).all()):
            return self.rows(tensor, first, first + len(rows))
        return self.op("Gather", tensor, self.constant(rows, np.int32), axis=0)

    def reshape(self, tensor: str, *shape: int) -> str:
        """``tensor`` with another shape; one entry may be -1."""
        return self.op("Reshape", tensor, self.ints(*shape))

    def unsqueeze(self, tensor: str, *axes: int) -> str:
        """``tensor`` with axes of length 1."""
        return self.op("Unsqueeze", tensor, self.ints(*axes))

    def reduce(self, kind: str, tensor: str, axis: int, keep: bool = True) -> str:
        """``ReduceMax`` or ``ReduceSum`` over one axis."""
        return self.op(kind, tensor, self.ints(axis), keepdims=int(keep))

    def concat(self, tensors: list[str], axis: int) -> str:
        """``tensors`` side by side."""
        return tensors[0] if len(tensors) == 1 else self.op("Concat", *tensors, axis=axis)

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], doc: str
    ) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self.nodes, "pccompiler", inputs, outputs, self.initializers, doc_string=doc
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="pccompiler",
        )
