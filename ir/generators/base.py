"""What a generator is: its options, its parameters, and the logits that it makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, cast

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir.arrays import Float, Int
from pccompiler.options import as_float, shown

Option = bool | int | float | str | tuple[int, ...]
Shapes = dict[str, tuple[int, ...]]
Parameters = Mapping[str, Float]

ALLOCATIONS = ("used", "reference")
WEIGHT_FLOOR = 1e-12
"""Default smallest weight: negligible next to 1 in float32, yet it bounds every sum from below."""


@dataclass(frozen=True, eq=False)
class Head:
    """The sectors of one shape.

    Attributes:
        rows: Rows of each sector.
        columns: Columns of each sector.
        sectors: Sector numbers, ascending.
        largest: Most rows and most columns of a sector of any head.
    """

    rows: int
    columns: int
    sectors: Int
    largest: tuple[int, int]

    @property
    def name(self) -> str:
        """Name of the head's parameters, such as ``head_5x2``."""
        return f"head_{self.rows}x{self.columns}"


class Generator:
    """How sum weights come to be: from a *code* for each sector, and parameters that all share.

    A subclass is a frozen dataclass. Its fields are the options in the text form, each with a
    default: a bool, an int, a float, a word, or a tuple of widths such as ``20x20``; one is
    ``floor``. Weights that no sector covers have logits of their own, whatever the generator.

    Attributes:
        keyword: Its name in the text form and in the registries.
        table: Name of the parameter whose rows are the codes, one per sector.
        floor: Smallest weight. A row of F logits z becomes
            ``(softmax(z) + floor) / (1 + F floor)``.
    """

    keyword: ClassVar[str]
    table: ClassVar[str]
    floor: float

    def __post_init__(self) -> None:
        number = as_float(self.floor)
        if number is None or not 0.0 <= number <= 1e-3:
            raise OptionError.of(
                "PC302",
                f"weight floor is {shown(self.floor)}",
                help="give a floor between 0 and 0.001; the default is 1e-12",
            )

    def options(self) -> dict[str, Option]:
        """Option to value, in the order of the text form: as declared, the floor last."""
        names = [field.name for field in fields(cast(Any, self)) if field.name != "floor"]
        return {name: getattr(self, name) for name in (*names, "floor")}

    @property
    def fills_sectors(self) -> bool:
        """Whether it fills sectors. If not, every weight has a logit of its own."""
        return True

    @property
    def width(self) -> int:
        """Numbers that torch keeps for a sector between code and logits, to predict memory."""
        return 0

    def codes(self, sectors: int, leaf_sectors: int) -> int:
        """How many rows the table has: by default one per sector.

        Args:
            sectors: Of the partition.
            leaf_sectors: How many of them belong to sums over inputs.
        """
        return sectors

    def shapes(self, heads: Sequence[Head], codes: int) -> Shapes:
        """Name to shape of each parameter: of the table, ``(codes, ...)``, and of shared ones.

        Args:
            heads: The sector shapes that there are, at least one.
            codes: As `codes` says.
        """
        raise missing(self, "shapes")

    def logits(self, codes: Float, head: Head, parameters: Parameters) -> Float:
        """The definition: logits of the sectors of one shape, ``(sectors, rows, columns)``.

        Args:
            codes: Rows of the table, one for each sector of the head.
            head: The shape.
            parameters: All of them, by name, in float64.
        """
        raise missing(self, "logits")

    def start(self, name: str, uniform: Float, shapes: Mapping[str, tuple[int, ...]]) -> Float:
        """Where training starts.

        Args:
            name: Of a parameter of the generator.
            uniform: Random numbers from [0, 1], of its shape, which are the default.
            shapes: Of all parameters.
        """
        return uniform

    def products(self, heads: Sequence[Head]) -> list[tuple[int, int, int]]:
        """Linear layers as (rows, inputs, outputs), from which benchmarks count arithmetic."""
        raise missing(self, "products")


def uses_sectors(generator: Generator | None) -> bool:
    """Whether the generator fills weights sector by sector, not weight by weight."""
    return generator is not None and generator.fills_sectors


def missing(generator: Generator, hook: str) -> OptionError:
    """The refusal of what needs a method that the generator's class does not define."""
    return OptionError.of(
        "PC796",
        f"the generator {generator.keyword!r} does not say how: its method {hook!r} is missing",
        help=f"define {type(generator).__name__}.{hook}; docs/howto/add-a-generator.md says how",
    )


def unusable(generator: Generator, name: str, why: str) -> CircuitError:
    """The refusal of a parameter whose name something else has."""
    return CircuitError.of(
        "PC798",
        f"the generator {generator.keyword!r} has a parameter {name!r}: {why}",
        help=f"give it another name in {type(generator).__name__}.shapes",
    )


def allocated(allocation: str, sectors: int, leaf_sectors: int) -> int:
    """Codes as the paper's authors allocate them: two for each leaf sector."""
    return max(sectors, 2 * leaf_sectors) if allocation == "reference" else sectors
