"""The ONNX backend: exports plans as ONNX files, verified before they are published."""

from pccompiler.onnx_backend.exporter import ExportReport, export
from pccompiler.onnx_backend.session import OnnxModel

__all__ = ["ExportReport", "OnnxModel", "export"]
