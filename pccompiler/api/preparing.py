"""The first stage of compiling: a checked circuit with its generator and sectors, and its plan."""

from __future__ import annotations

from typing import Literal

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Direct, Generator, Sectors
from pccompiler.ir.generators import WEIGHT_FLOOR, uses_sectors
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.sectors import Cut, partition
from pccompiler.options import shown
from pccompiler.passes import plan, verify
from pccompiler.passes.check.precision import check_domains
from pccompiler.passes.check.wellformed import verify_sectors

Dtype = Literal["float32", "float64"]
Numerics = Literal["auto", "log"]


def prepare(
    circuit: Circuit,
    hypernetwork: Generator | None,
    sectors: Sectors | Cut | None,
    precision: Dtype,
    numerics: Numerics,
) -> tuple[Circuit, Plan]:
    """The first stage of `compile`: the checked circuit with its generator, and its plan."""
    verify(circuit)
    prepared = _with_generator(circuit, hypernetwork, sectors)
    check_domains(prepared, precision)
    return prepared, plan(prepared, dtype=precision, numerics=numerics)


def precision_of(dtype: object) -> Dtype:
    """The name of a type; torch's and NumPy's names are the same, the former with a prefix."""
    name = str(dtype).removeprefix("torch.")
    if name == "float32":
        return "float32"
    if name == "float64":
        return "float64"
    raise OptionError.of("PC302", f"dtype is {shown(dtype)}", help="use 'float32' or 'float64'")


def _with_generator(
    circuit: Circuit, hypernetwork: Generator | None, sectors: Sectors | Cut | None
) -> Circuit:
    generator = hypernetwork or circuit.generator
    if hypernetwork is not None and circuit.generator not in (None, hypernetwork):
        raise OptionError.of(
            "PC307",
            "the circuit has a generator already, and compile was given another one",
            help="compile it without hypernetwork=, or drop it: circuit.replace(generator=None)",
        )
    if generator is None:  # given weights stay exact; trained ones stay above zero
        generator = Direct(floor=0.0 if circuit.weights.values else WEIGHT_FLOOR)
    if sectors is not None or (uses_sectors(generator) and circuit.sectors is None):
        circuit = partition(circuit, Sectors() if sectors is None else sectors)
        verify_sectors(circuit)
    result = circuit.replace(generator=generator)
    if uses_sectors(generator) and result.sectors is not None:
        _check_given(result, result.sectors)
    return result


def _check_given(circuit: Circuit, sectors: Sectors) -> None:
    if len(sectors) == 0:
        raise OptionError.of(
            "PC308",
            "the partition has no sectors: no dense sum has weights to generate",
            help="compile without a hypernetwork, or pass sectors=Sectors(mixtures=True)",
        )
    clash = sorted(set(sectors.weight.tolist()) & set(circuit.weights.values))
    if clash:
        names = ", ".join(circuit.weights.label(weight) for weight in clash[:5])
        raise OptionError.of(
            "PC309",
            f"{len(clash)} weights have given values that the generator would replace: {names}",
            help="compile without a hypernetwork, or remove the values of these weights",
        )
