"""Generators of weights in ONNX: one file each."""
