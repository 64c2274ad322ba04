"""A worker that tells how far it is between two evaluations."""

from __future__ import annotations

from typing import Protocol

from pccompiler.torch_backend.training.course import Worker


class CountedWorker(Worker, Protocol):
    """A worker that can be resumed between two evaluations."""

    @property
    def ahead(self) -> int:
        """The finished steps since the last evaluation."""
        ...
