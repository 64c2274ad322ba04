"""The ONNX backend: plans as ONNX files, checked before they appear."""

from pccompiler.onnx_backend.exporter import ExportReport, export
from pccompiler.onnx_backend.session import OnnxModel

__all__ = ["ExportReport", "OnnxModel", "export"]
