"""Passes: circuit to circuit, checked on both sides."""

if __name__ != "pccompiler.passes":  # this folder is the source of a subpackage, not a package
    raise ImportError(f"import 'pccompiler.passes', not {__name__!r}")

from pccompiler.passes.check import findings, verify
from pccompiler.passes.plan import plan

__all__ = ["findings", "plan", "verify"]
