"""ONNX nodes of input layers."""
