"""Exported models, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import DataError, ExportError, OptionError
from pccompiler.onnx_backend.digest import verify
from pccompiler.onnx_backend.metadata import read_schema, read_variables
from pccompiler.options import listed, path_of, shown, whole
from pccompiler.reading import read_regular
from pccompiler.tables import Given, as_table
from pccompiler.tables.labels import Codes

_PREFERRED = ("CUDAExecutionProvider", "CPUExecutionProvider")
_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}  # TF32 has 10 mantissa bits: errors of 1e-3


def start_session(
    model: bytes, providers: Sequence[str] | None = None, name: str | Path = "the model"
) -> Any:  # onnxruntime has no type information
    """An ONNX Runtime session for a serialized model.

    Args:
        model: The file's content.
        providers: Where to run; by default CUDA if available, otherwise the CPU.
        name: Name of the model in errors.

    Raises:
        ExportError: If ONNX Runtime is not installed, or cannot read the model.
        OptionError: If a provider is not available.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ExportError.of(
            "PC604",
            "ONNX Runtime is not installed",
            help="pip install 'pccompiler[onnx]', or 'pccompiler[onnx-gpu]' for CUDA",
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    chosen = _choose(providers, onnxruntime.get_available_providers())
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=[(name, _OPTIONS.get(name, {})) for name in chosen]
        )
    except Exception as error:  # onnxruntime raises classes of its own
        raise ExportError.of(
            "PC605",
            f"ONNX Runtime cannot read {name}: {_reason(error)}",
            help="check the path, or export the model again",
        ) from error


def _choose(wanted: Sequence[str] | None, available: Sequence[str]) -> list[str]:
    """The providers to run on."""
    if wanted is None:
        return [name for name in _PREFERRED if name in available]
    names = listed("providers", wanted)
    absent = [name for name in names if not isinstance(name, str) or name not in available]
    if absent:
        raise OptionError.of(
            "PC302",
            f"ONNX Runtime has no provider {shown(absent[0])} on this machine",
            help=f"use one of: {', '.join(available)}",
        )
    return list(wanted)


def run_rows(session: Any, rows: NDArray[np.float64], batch_size: int) -> NDArray[np.float64]:
    """A session's answers for ``rows``, computed batch by batch."""
    x = np.ascontiguousarray(rows, np.float32)
    parts = [
        session.run(None, {"x": x[start : start + batch_size]})[0]
        for start in range(0, len(x), batch_size)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts]).astype(np.float64)


class OnnxModel:
    """A file that `pccompiler.export_onnx` wrote.

    Attributes:
        path: The file.
        metadata: Its metadata: version, fingerprint, variables, and the exporter's own entries.
        query: The query it answers: ``"log_likelihood"``, or one of another package.
        names: Names of the variables; with a schema, of its columns.
        codes: The states of the labels in each column; none without a schema.
    """

    def __init__(self, path: str | Path, *, providers: Sequence[str] | None = None) -> None:
        self.path = path_of(path)
        try:
            content = read_regular(self.path)  # read once: the verified bytes are run
        except FileNotFoundError:
            raise ExportError.of(
                "PC605", f"there is no file {self.path}", help="check the path"
            ) from None
        except OSError as error:
            raise ExportError.of(
                "PC605", f"{self.path} cannot be read: {error.strerror}", help="check the path"
            ) from None
        verify(content, self.path)
        self._session = start_session(content, providers, self.path)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.query = self.metadata.get("pccompiler.query", "log_likelihood")
        self._variables = read_variables(self._session, self.metadata, self.path)
        schema = read_schema(self.metadata, self._variables, self.path)
        self.names = tuple(v.name for v in self._variables) if schema is None else schema.names
        self.codes: Codes = () if schema is None else schema.codes

    def log_likelihood(self, x: Given, *, batch_size: int = 250) -> NDArray[np.float64]:
        """Log-likelihood of each row of ``x``, in nats, computed in float32.

        Args:
            x: Shape ``(batch, variables)``; NaN is a missing value, and integrated out. An array, a
                data frame or dicts, see `pccompiler.tables.as_table`.
            batch_size: Rows in one call of ONNX Runtime. Memory grows with it: 250 rows of the
                paper's largest circuit take 2 GB, 1,000 take 8 GB and several times as long.

        Raises:
            DataError: If the columns do not fit, or a value is outside its variable's domain.
            OptionError: If ``batch_size`` is not positive, or the file answers another query.
        """
        if self.query != "log_likelihood":
            raise OptionError.of(
                "PC795",
                f"{self.path} answers {self.query!r}, not 'log_likelihood'",
                help="call answer(x), or export the log-likelihood",
            )
        return self.answer(x, batch_size=batch_size)

    def answer(self, x: Given, *, batch_size: int = 250) -> NDArray[np.float64]:
        """The answer of the file's query for each row of ``x``; arguments and errors as above."""
        size = whole("batch_size", batch_size)
        rows = np.asarray(as_table(x, self.names, codes=self.codes), np.float64)
        self._check(rows)
        return self._values(rows, size)

    def _values(self, rows: NDArray[np.float64], batch_size: int) -> NDArray[np.float64]:
        """ONNX Runtime's answers; an error if it fails or returns an invalid result."""
        try:
            values = run_rows(self._session, rows, batch_size)
        except Exception as error:  # onnxruntime raises classes of its own
            raise _wrong(self.path, f"ONNX Runtime fails: {_reason(error)}") from error
        if values.shape != (len(rows),):
            raise _wrong(self.path, f"the answers for {len(rows)} rows have shape {values.shape}")
        if np.isnan(values).any():
            row = int(np.argmax(np.isnan(values)))
            raise _wrong(self.path, f"the {self.query.replace('_', '-')} of row {row} is NaN")
        return values

    def _check(self, rows: NDArray[np.float64]) -> None:
        states = np.array([v.cardinality for v in self._variables])
        whole = np.array([v.domain != "real" for v in self._variables])
        wrong = ((rows < 0) | (rows != np.floor(rows))) & whole | (rows >= states) & (states > 0)
        wrong = (wrong & ~np.isnan(rows)) | np.isinf(rows)
        if not wrong.any():
            return
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        name = self._variables[column].name
        raise DataError.of(
            "PC401",
            f"value {rows[row, column]:g} in row {row}, column {column} is not a value of variable "
            f"{name!r}",
            notes=(f"{int(wrong.sum())} values are out of range",),
            help="recode the column; NaN means missing",
        )


def _wrong(path: Path, why: str) -> ExportError:
    return ExportError.of(
        "PC616",
        f"{path} cannot be evaluated: {why}",
        help="give fewer rows at a time if memory ran out; otherwise export the model again",
    )


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]
