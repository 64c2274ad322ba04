"""A leaf family from any univariate class of `torch.distributions`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform, biject_to, constraints
from torch.overrides import TorchFunctionMode

from pccompiler.errors import CircuitError
from pccompiler.ir.families import supports as ir
from pccompiler.torch_backend.leaves.base import TorchLeaf, Units
from pccompiler.torch_backend.leaves.quadrature import Points, check_settled, panels_about
from pccompiler.torch_backend.values import safe_log

_DRAWS = 512
_MOST_COUNTS = 2**20
_LEFT_OUT = 1e-13  # mass of counts that may be left out
_ROUNDED = 1e-3  # the most that rounded parameters change the mass of all counts

_WAY_OUT = "derive a class from TorchLeaf and define log_density, which is -inf outside"


class DistributionLeaf(TorchLeaf):
    """Densities by ``log_prob``, samples by ``sample``; everything else as in `TorchLeaf`.

    The family's parameters must have the names of the distribution's arguments, and the supports
    given by ``arg_constraints``.

    Args:
        keyword: Keyword of the family.
        distribution: The class.
        support: The support of the density, if the class does not declare it correctly: von Mises
            distributions are on a circle, but their class declares the real line.

    Raises:
        CircuitError: PC465, if values are not single numbers, or if no support is given and that
            of the class depends on the parameters.

    Example:
        >>> from torch.distributions import StudentT
        >>> DistributionLeaf("student_t", StudentT).keyword
        'student_t'
    """

    infinite_moments: ClassVar[bool] = True

    def __init__(
        self,
        keyword: str,
        distribution: type[Distribution],
        support: constraints.Constraint | None = None,
    ) -> None:
        given: Any = distribution.support if support is None else support
        if not isinstance(given, constraints.Constraint) or constraints.is_dependent(given):
            raise self._unfit(keyword, "its support depends on its parameters", _WAY_OUT)
        if given.event_dim > 0:
            raise self._unfit(keyword, "its values are not single numbers", "use another class")
        if given.is_discrete and support is None and given is not constraints.nonnegative_integer:
            raise self._unfit(keyword, f"its support is {given}", "give support=")
        self.keyword, self.distribution, self.support = keyword, distribution, given
        self.on_line = not given.is_discrete
        self.bounded_support = isinstance(given, type(constraints.unit_interval))
        self.somewhere = float(biject_to(given)(torch.zeros(()))) if self.on_line else 0.0

    @staticmethod
    def _unfit(keyword: str, fault: str, way_out: str) -> CircuitError:
        return CircuitError.of(
            "PC465", f"the distribution of {keyword!r} cannot be a leaf: {fault}", help=way_out
        )

    def of(self, units: Units) -> Distribution:
        """The distributions, with a last axis of length 1 for values."""
        family = self.family
        wanted: Any = self.distribution.arg_constraints
        for parameter in family.parameters:
            kind = _kind(wanted.get(parameter.name))
            if kind is None or not isinstance(parameter.support, kind):
                raise self._unfit(
                    self.keyword,
                    f"its argument {parameter.name!r} is {wanted.get(parameter.name)}, but the "
                    f"family's parameter is {type(parameter.support).__name__.lower()}",
                    f"declare the parameters as {sorted(wanted)}, in supports that fit",
                )
        arguments = dict(
            zip([p.name for p in family.parameters], units.parameters.split(1, -1), strict=True)
        )
        made: Any = self.distribution
        with _without_host(units.parameters.device):
            found: Distribution = made(**arguments, validate_args=False)
        return found

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Parameters as in the IR, without logarithms."""
        return self.values(raw, floor)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """``log_prob`` within the support, otherwise ``-inf``."""
        check: Any = self.support.check
        inside = check(x)
        known = x.masked_fill(~inside, self.somewhere)
        distribution: Any = self.of(units)
        with _without_host(x.device):
            logs: Any = distribution.log_prob(known)
        found: Tensor = logs.masked_fill(~inside, -torch.inf)
        return found

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """From ``cdf``, if the class defines it; the upper tail is exact to 1e-16 only."""
        check: Any = self.support.check
        inside = check(x)
        distribution: Any = self.of(units)
        try:
            with _without_host(x.device):
                below: Tensor = distribution.cdf(x.masked_fill(~inside, self.somewhere))
        except NotImplementedError:
            raise self.lacks("log_tails") from None
        below = torch.where(inside, below, (x > self.somewhere).to(below.dtype))
        return safe_log(below), safe_log(1.0 - below)

    def draw(self, units: Units, generator: torch.Generator | None) -> Tensor:
        """By ``sample``, seeded from the generator."""
        seed = None
        if generator is not None:
            where = generator.device
            seed = int(torch.randint(2**62, (), generator=generator, device=where))
        with _seeded(seed, units.parameters.device):
            drawn: Tensor = self.of(units).sample()
        return drawn.squeeze(-1)

    def mode(self, units: Units) -> Tensor:
        """``mode``, if the class defines one within the support."""
        try:
            found: Tensor = self.of(units).mode.squeeze(-1)
        except NotImplementedError:
            raise self.lacks("mode") from None
        check: Any = self.support.check
        if not bool(check(found).all()):
            raise self.lacks("mode")
        return found

    def mean(self, units: Units) -> Tensor:
        """``mean``; on an interval by quadrature, since a circular mean is not a mean of values."""
        try:
            return super().mean(units) if self.bounded_support else self.of(units).mean[..., 0]
        except NotImplementedError:
            return super().mean(units)

    def square(self, units: Units) -> Tensor:
        """From ``variance``, or by quadrature like `mean`."""
        try:
            if self.bounded_support:
                return super().square(units)
            found = self.of(units)
            return (found.variance + found.mean.square())[..., 0]
        except NotImplementedError:
            return super().square(units)

    def chart(self, units: Units) -> Transform:
        """Torch's bijection from the real line to the support."""
        found: Transform = biject_to(self.support)
        return found

    def panels(self, units: Units) -> Tensor:
        """Around the median of some samples, as wide as their middle half."""
        with torch.no_grad(), _seeded(0, units.parameters.device):
            draws = self.of(units).sample(torch.Size([_DRAWS]))[..., 0, 0].double()
        places: Any = self.chart(units).inv(draws)
        low, middle, high = places.quantile(places.new_tensor([0.25, 0.5, 0.75]), dim=0)
        scale = (high - low).clamp_min(1e-12).maximum(1e-12 * middle.abs())
        return panels_about(middle.unsqueeze(1), scale.unsqueeze(1))

    def points(self, units: Units) -> Points:
        """For counts, so many that the second half of them has no mass.

        Masses are normalised, since parameters that were rounded to float32 give a mass that is
        not exactly 1, however many counts there are.
        """
        if self.on_line:
            return super().points(units)
        number = 64
        while True:
            counts = (
                torch.arange(2.0 * number).to(units.parameters).expand(len(units.parameters), -1)
            )
            masses = units.log_density(counts).exp()
            seen = masses.detach()
            whole = seen.sum(1, keepdim=True)
            missing = (1.0 - whole).abs()
            missing = missing.where(missing > _ROUNDED, seen[:, number:].sum(1, keepdim=True))
            if number > _MOST_COUNTS or bool((missing < _LEFT_OUT).all()):
                check_settled(missing, f"the mass of {self.keyword} leaves")
                return Points(counts, masses / whole)
            number *= 4


def _kind(given: Any) -> type[ir.Support] | None:
    """A torch constraint as a support, ``None`` if there is no such support."""
    if given is constraints.real:
        return ir.Real
    if isinstance(given, constraints.greater_than | constraints.greater_than_eq):
        return ir.Positive if given.lower_bound == 0 else None
    if isinstance(given, constraints.interval | constraints.half_open_interval):
        return ir.UnitInterval if (given.lower_bound, given.upper_bound) == (0, 1) else None
    return None


class _Filled(TorchFunctionMode):
    """Makes tensors of single numbers by filling them on their device instead of copying them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and args and isinstance(args[0], (int, float)):
            return torch.full((), args[0], **given)
        return func(*args, **given)


class _Unvalidated:
    """Switches validation, which is global, off until the last thread has left."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = Lock(), 0, False

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = Distribution._validate_args
                Distribution.set_default_validate_args(False)
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                Distribution.set_default_validate_args(self.before)


_UNVALIDATED = _Unvalidated()


@contextmanager
def _without_host(device: torch.device) -> Generator[None]:
    """Keep distributions on a GPU from copying from or waiting for the CPU.

    CUDA graphs refuse to capture either. Student's t, for example, makes a chi-squared distribution
    whose rate is copied in each call, and whose arguments are validated.
    """
    if device.type == "cpu":
        yield
        return
    with _UNVALIDATED, _Filled():
        yield


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Generator[None]:
    """Seed the device's global generator, which distributions use, and restore it afterwards."""
    if seed is None:
        yield
    elif device.type == "cuda":
        with torch.random.fork_rng(devices=[device]), torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
            yield
    else:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
