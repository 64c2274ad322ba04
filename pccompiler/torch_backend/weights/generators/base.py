"""What a generator is to the torch backend: how codes of sectors become logits, as tensors."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import Tensor, nn

from pccompiler.errors import CircuitError
from pccompiler.ir.generators import Generator
from pccompiler.ir.generators.base import Head

G = TypeVar("G", bound=Generator)


class TorchGenerator(Generic[G]):
    """A generator in torch: `pccompiler.ir.Generator.logits` in two steps.

    Args:
        generator: Its options.
        values: Its parameters, by name.
    """

    def __init__(self, generator: G, values: nn.ParameterDict) -> None:
        self.generator, self.values = generator, values

    def features(self, codes: Tensor) -> Tensor:
        """What sectors of every shape need of their codes, computed once; row by row."""
        return codes

    def logits(self, features: Tensor, head: Head) -> Tensor:
        """Logits of some sectors of one shape, ``(sectors, rows, columns)``, from their rows."""
        raise missing(self.generator.keyword)


def missing(keyword: str) -> CircuitError:
    """The refusal of a model whose weights torch cannot generate."""
    return CircuitError.of(
        "PC797",
        f"the torch backend cannot generate weights by {keyword!r}: the hook "
        "TorchGenerator.logits is missing for it",
        help="derive a class from pccompiler.torch_backend.weights.generators.base.TorchGenerator "
        "and register it; docs/howto/add-a-generator.md says how",
    )
