"""The error for a missing scikit-learn."""

from pccompiler.errors import PCCompilerError


class MissingScikitLearnError(PCCompilerError, ImportError):
    """scikit-learn is not installed (code PC820)."""
