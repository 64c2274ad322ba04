"""Data frames: what their columns mean to a circuit, and answers in frames of the same kind."""

from pccompiler.frames.schema import Schema

__all__ = ["Schema"]
