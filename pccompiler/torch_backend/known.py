"""Evidence: rows in which some values are known, checked, and evaluated a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.ir.assemble import closest
from pccompiler.torch_backend.evaluator import Evaluator
from pccompiler.torch_backend.evidence import Evaluated, Knowledge
from pccompiler.torch_backend.states import check_values

Evidence = Tensor | ArrayLike | Mapping[str, float]
_BYTES = 2**29
"""Values, flows and the largest layer's terms of one chunk of rows."""


class KnowsEvidence(Evaluator):
    """Takes evidence."""

    def column(self, variable: str | int) -> int:
        """The column of a variable.

        Raises:
            DataError: If there is none.
        """
        names = {v.name: i for i, v in enumerate(self.circuit.variables)}
        if isinstance(variable, str) and variable in names:
            return names[variable]
        if not isinstance(variable, str) and 0 <= variable < len(names):
            return int(variable)
        near = closest(str(variable), names)
        raise DataError.of(
            "PC407", f"the circuit has no variable {variable!r}", help=near or "see the variables"
        )

    def evidence(self, x: Evidence | None) -> Tensor:
        """Evidence as checked rows, shape (batch, variables); ``None`` is one row of nothing.

        Raises:
            DataError: If it does not fit the variables.
        """
        if x is None:
            return self.nothing(1)
        if isinstance(x, Mapping):
            rows = self.nothing(1)
            for name, value in x.items():
                rows[0, self.column(name)] = value
        else:
            rows = self.prepare(x)
        check_values(rows, self.circuit.variables)
        return rows

    def evaluations(
        self, evidence: Evidence | None, *, maximum: bool = False
    ) -> Iterator[Evaluated]:
        """Evaluations of the evidence, a chunk of rows at a time."""
        rows, knowledge = self.evidence(evidence), Knowledge(self)
        for part in rows.split(chunk_rows(self)):
            yield knowledge.evaluation(part, maximum=maximum)


def chunk_rows(model: Evaluator) -> int:
    """Rows to take at once."""
    widest = max(step.stop - step.start for step in model.program.steps)
    a_row = model.dtype.itemsize * (2 * model.program.rows + 8 * widest)
    return max(1, _BYTES // a_row)
