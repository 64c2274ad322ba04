"""A small writer of ONNX graphs: names, constants without copies, nodes in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from pccompiler.errors import ExportError
from pccompiler.ir.plan.rounding import FEW_OPERANDS

OPSET = 18
IR_VERSION = 9  # read by ONNX Runtime 1.16 and newer
MOST_BYTES = 2**31 - 2**26  # protobuf's limit is 2 GiB; this leaves room for the nodes
_SMALL = 1024  # bytes up to which equal constants are shared


class Graph:
    """Nodes and initializers under construction. Methods return the name of their result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.bytes = 0
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, values: ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """An unnamed initializer; equal small ones are stored once."""
        array = np.ascontiguousarray(values, dtype=dtype)
        if array.nbytes > _SMALL:
            return self._store(f"c{len(self.initializers)}", array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._store(f"c{len(self.initializers)}", array)
        return self._known[key]

    def parameter(self, name: str, values: ArrayLike) -> str:
        """A named float32 initializer, stored on first use."""
        if name in self.initializers:
            return name
        return self._store(name, np.ascontiguousarray(values, dtype=np.float32))

    def _store(self, name: str, array: NDArray[np.generic]) -> str:
        self.bytes += array.nbytes
        if self.bytes > MOST_BYTES:
            raise ExportError.of(
                "PC602",
                f"the weights take more than {MOST_BYTES:,} bytes, too many for one ONNX file",
                help="export with weights='compact', or make the circuit smaller",
            )
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def ints(self, *values: int) -> str:
        """A constant vector of int64."""
        return self.constant(values, np.int64)

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node with one result (attributes are what ONNX takes, hence ``Any``)."""
        result = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], **attributes))
        return result

    def cast(self, tensor: str, to: int = TensorProto.FLOAT) -> str:
        """``tensor`` in another type."""
        return self.op("Cast", tensor, to=to)

    def wide(self, tensor: str) -> str:
        """``tensor`` in float64."""
        return self.cast(tensor, TensorProto.DOUBLE)

    def slice(self, tensor: str, start: int, stop: int, axis: int = 0) -> str:
        """``tensor[start:stop]`` along ``axis``."""
        return self.op("Slice", tensor, self.ints(start), self.ints(stop), self.ints(axis))

    def take(self, tensor: str, rows: NDArray[np.int64]) -> str:
        """``tensor[rows]``, as a slice if the rows are contiguous."""
        first = int(rows[0])
        if bool((np.diff(rows) == 1).all()):
            return self.slice(tensor, first, first + len(rows))
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

    def sum(self, tensor: str, axis: int, count: int, keep: bool = True) -> str:
        """The sum over one axis of ``count`` numbers, in float64 if there are many.

        ONNX Runtime adds sequentially: its sum of 100,000 equal float32 numbers has a relative
        error of 1e-3.
        """
        if count <= FEW_OPERANDS:
            return self.reduce("ReduceSum", tensor, axis, keep)
        return self.cast(self.reduce("ReduceSum", self.wide(tensor), axis, keep))

    def concat(self, tensors: list[str], axis: int) -> str:
        """The concatenation of ``tensors``."""
        return tensors[0] if len(tensors) == 1 else self.op("Concat", *tensors, axis=axis)

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], doc: str
    ) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self.nodes, "pccompiler", inputs, outputs, list(self.initializers.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="pccompiler",
            doc_string=doc,
        )
