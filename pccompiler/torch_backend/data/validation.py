"""Checks that values are states of their variables."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.ir import Variable
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.runtime.nvrtc import Long, load
from pccompiler.torch_backend.runtime.threads import threads_on


def check_possible(root: Tensor, repeats: int = 1, first: int = 0) -> None:
    """Refuse evidence of probability zero.

    Args:
        root: Log-values, shape (rows,).
        repeats: How many of them each row of evidence has.
        first: How many there are before these.

    Raises:
        DataError: With the first such row.
    """
    wrong = (root == -torch.inf).nonzero()
    if len(wrong):
        raise DataError.of(
            "PC406",
            f"the evidence in row {(first + int(wrong[0])) // repeats} has probability 0",
            help="drop rows with log_likelihood(...) == -inf",
        )


_SOURCE = Path(__file__).parent / "kernels" / "states.cu"
_THREADS, _BLOCKS = 256, 1024
_ALLOWED = {"real": "finite numbers", "count": "whole numbers from 0 on"}
_AT_ONCE = {"cpu": 2**17, "cuda": 2**26}  # values; on CPUs temporaries stay in the cache


class StateCheck:
    """Refuses values that are not states of their variables.

    Each value is compared with the nearest allowed value, and all differences are reduced to one
    flag on the device. The only wait is for this flag; the culprit is searched for only if it is
    set.

    Args:
        variables: One for each column.
        device: Device of the rows to check.
        dtype: Type of the rows to check.
    """

    def __init__(
        self, variables: tuple[Variable, ...], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.variables, self.device, self.dtype = variables, device, dtype
        most = torch.finfo(dtype).max
        low = [-most if v.domain == "real" else 0.0 for v in variables]
        high = [float(v.cardinality - 1) if v.discrete else most for v in variables]
        whole = [v.domain != "real" for v in variables]
        self.whole = torch.tensor(whole, device=device)
        self.all_whole, self.any_whole = all(whole), any(whole)
        self.low = torch.tensor(low, device=device, dtype=dtype)
        self.high = torch.tensor(high, device=device, dtype=dtype)
        # A single pair of numbers for all columns is faster.
        self.same = (low[0], high[0]) if len({*zip(low, high, strict=True)}) == 1 else None

    def __call__(self, x: Tensor, *, complete: bool = False) -> None:
        """Check rows.

        Args:
            x: Shape (rows, variables), NaN where missing.
            complete: Whether missing values are also refused.

        Raises:
            DataError: Names row, column and variable of the first culprit.
        """
        x = x.detach()
        with threads_on(x.numel(), x.device):
            if bool(self.wrong(x, complete=complete)):
                self.refuse(x, complete)

    def wrong(self, x: Tensor, *, complete: bool = False) -> Tensor:
        """Whether some value is invalid, as a 0-d boolean tensor on the device."""
        found = self._in_kernel(x, complete)
        if found is not None:
            return found
        size = max(1, _AT_ONCE.get(x.device.type, 2**26) // len(self.variables))
        flags = [self._off(part, complete).any() for part in x.split(size)]
        return flags[0] if len(flags) == 1 else torch.stack(flags).any()

    def _in_kernel(self, x: Tensor, complete: bool) -> Tensor | None:
        """`wrong` in one launch; ``None`` if there are no kernels for it."""
        if not x.is_cuda or x.numel() == 0:
            return None
        real = {torch.float32: "float", torch.float64: "double"}.get(x.dtype)
        if real is None:
            return None
        defines = (("REAL", real), ("COMPLETE", int(complete)), ("THREADS", _THREADS))
        try:
            kernel = load(x.device, (_SOURCE,), defines, ("find_wrong",))["find_wrong"]
        except KernelError:
            return None
        found = torch.zeros((), dtype=torch.bool, device=x.device)
        blocks = min(_BLOCKS, -(-x.numel() // _THREADS))
        x = x.contiguous()
        limits = (self.low, self.high, self.whole)
        kernel((blocks, 1), (_THREADS, 1), 0, [x, Long(x.numel()), x.shape[1], *limits, found])
        return found

    def _off(self, x: Tensor, complete: bool) -> Tensor:
        """The difference between each value and the nearest allowed one."""
        near = x.floor() if self.any_whole else x.clone()
        if self.any_whole and not self.all_whole:
            near = torch.where(self.whole, near, x)
        if self.same is None:
            near = torch.clamp(near, self.low, self.high, out=near)
        else:
            near = near.clamp_(*self.same)
        off = near.sub_(x)
        return off if complete else off.nan_to_num_(0.0)

    def refuse(self, x: Tensor, complete: bool) -> None:
        """Raise the error for rows in which `wrong` found something."""
        wrong = self._off(x, complete) != 0.0
        row, column = (int(i) for i in wrong.nonzero()[0])
        variable, value = self.variables[column], float(x[row, column])
        if value != value:
            raise DataError.of(
                "PC454",
                f"the value in row {row}, column {column} (variable {variable.name!r}) is missing, "
                "but complete=True promises that none is",
                help="leave out complete=True",
            )
        raise _no_state(value, row, column, variable, int(wrong.sum()))


def _no_state(value: float, row: int, column: int, variable: Variable, number: int) -> DataError:
    allowed = (
        f"0 ... {variable.cardinality - 1}" if variable.discrete else _ALLOWED[variable.domain]
    )
    otherwise = "with more states" if variable.discrete else "otherwise"
    return DataError.of(
        "PC401",
        f"value {value:g} in row {row}, column {column} is not a value of variable "
        f"{variable.name!r}",
        notes=(
            f"{number} values are out of range",
            f"allowed: {allowed}, or NaN if missing",
        ),
        help=f"recode the column, or declare the variable {otherwise}",
    )
