"""Explains how a circuit or a model runs, as a database explains a query."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch

from pccompiler.api import Dtype, compile, precision_of, prepare
from pccompiler.bench.ceilings import Rates, datasheet, floor_ms, measured
from pccompiler.bench.kinds.registry import DIRECTIONS
from pccompiler.bench.units import Precision
from pccompiler.errors import OptionError
from pccompiler.explanation.report import Explanation, LayerFacts, Least
from pccompiler.ir import Circuit
from pccompiler.ir.plan.cost import flops_of
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.text import operands_text
from pccompiler.options import shown, whole
from pccompiler.passes.lowering.peak_memory import peak
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.engines.base import Target
from pccompiler.torch_backend.engines.budgeted.choose import choose, training_bytes
from pccompiler.torch_backend.engines.budgeted.schedule import parse_bytes
from pccompiler.torch_backend.engines.explain import choices
from pccompiler.torch_backend.runtime.devices import usable_device

if TYPE_CHECKING:
    from pccompiler.torch_backend.engines.select import Engines


def explain(
    circuit_or_model: Circuit | CompiledCircuit,
    *,
    device: str | torch.device | None = None,
    batch: int = 512,
    dtype: Dtype | torch.dtype | None = None,
    memory_budget: int | str | None = None,
    measure: bool = False,
) -> Explanation:
    """Explain which engine runs each query and why, and the least it costs.

    If the device is present, engines are started and their kernels compiled. A GPU need not be
    present: then engines are only matched with the plan, and facts that depend on the device are
    reported as unknown.

    Args:
        circuit_or_model: A circuit, which is lowered as in `compile`, or a compiled one.
        device: The device to run on; by default the model's, or torch's default.
        batch: Rows at a time.
        dtype: Precision; by default the model's, or float32.
        memory_budget: As in `compile`; a model has its own.
        measure: Whether to measure the rates of this machine, in about two seconds, if no
            datasheet is known; floors need them.

    Raises:
        CircuitError: If the circuit breaks a rule.
        OptionError: If it is not a circuit, or an option is invalid.
    """
    rows = whole("batch", batch)
    plan, target, ready = _subject(circuit_or_model, device, dtype, memory_budget)
    found = _explanation(plan, target, rows, ready, measure)
    if isinstance(circuit_or_model, CompiledCircuit):
        return replace(found, optimization=circuit_or_model.optimization)
    return found


_Subject = tuple[Plan, Target, "Engines | None"]


def _subject(
    given: object, device: object, dtype: object, memory_budget: int | str | None
) -> _Subject:
    """The plan, its target, and its engines if the device is present."""
    if isinstance(given, CompiledCircuit):
        return _of_model(given, device, dtype, memory_budget)
    if isinstance(given, Circuit):
        return _of_circuit(given, device, dtype, memory_budget)
    raise OptionError.of(
        "PC376",
        f"{shown(given)} is neither a circuit nor a compiled one",
        help="give what pccompiler.compile takes, or what it returns",
    )


def _of_model(
    model: CompiledCircuit, device: object, dtype: object, memory_budget: object
) -> _Subject:
    """A model itself; for another device or precision, a copy there, which has the same plan."""
    if memory_budget is not None:
        raise OptionError.of(
            "PC377",
            "a compiled circuit has its own memory budget",
            help="call model.keep_within(...) first, or explain the circuit",
        )
    wanted = model.device if device is None else _device(device)
    precision = model.precision if dtype is None else precision_of(dtype)
    target = Target(wanted, getattr(torch, precision), model.engines.target.budget)
    if not _present(wanted):
        return model.plan, target, None
    if (wanted, precision) != (model.device, model.precision):
        model = deepcopy(model).to(wanted, target.dtype)
    return model.plan, model.engines.target, model.engines


def _of_circuit(
    circuit: Circuit, device: object, dtype: object, memory_budget: int | str | None
) -> _Subject:
    where = torch.get_default_device() if device is None else _device(device)
    precision = precision_of(dtype or "float32")
    if _present(where):
        model = compile(circuit, device=where, dtype=precision, memory_budget=memory_budget)
        return model.plan, model.engines.target, model.engines
    prepared, plan = prepare(circuit, None, None, precision, "auto")
    budget = None
    if memory_budget is not None:
        budget = choose(prepared, precision, "auto", parse_bytes(memory_budget), plan)
    return plan, Target(where, getattr(torch, precision), budget), None


def _device(device: object) -> torch.device:
    """A device by its name, present or not."""
    try:
        return device if isinstance(device, torch.device) else torch.device(cast(str, device))
    except (RuntimeError, TypeError):
        return usable_device(device)  # raises an error that explains the fault


def _present(device: torch.device) -> bool:
    """Whether torch can use the device; only a GPU may be absent."""
    if device.type == "cuda" and not torch.cuda.is_available():
        return False
    usable_device(device)
    return True


def _explanation(
    plan: Plan, target: Target, batch: int, ready: Engines | None, measure: bool
) -> Explanation:
    itemsize = target.dtype.itemsize
    rates, source = _rates(target, ready is not None, measure)
    a_row, fixed = training_bytes(plan, itemsize)
    return Explanation(
        device=str(target.device),
        present=ready is not None,
        precision=precision_of(target.dtype),
        batch=batch,
        variables=len(plan.variables),
        parameters=lay_out(plan).num_parameters,
        packed=plan.packed,
        layers=tuple(_layers(plan, batch, itemsize)),
        choices=choices(plan, target, ready),
        least=tuple(_least(plan, batch, rates)),
        floor_source=source,
        evaluation_bytes=None if plan.packed else peak(plan, batch, itemsize).bytes,
        training_bytes=None if plan.packed else int(batch * a_row + fixed),
        schedule="" if target.budget is None else str(target.budget.schedule),
    )


def _layers(plan: Plan, batch: int, itemsize: int) -> list[LayerFacts]:
    return [
        LayerFacts(
            number=number,
            kind=layer.kind.keyword if layer.family is None else layer.family.keyword,
            nodes=layer.rows,
            units=layer.units,
            form=layer.form.name.lower() + (" normalized" if layer.normalize else ""),
            reads=operands_text(layer),
            flops=batch * flops_of(layer),
            bytes=batch * layer.rows * layer.units * itemsize,
        )
        for number, layer in enumerate(plan.layers)
    ]


def _least(plan: Plan, batch: int, rates: Rates | None) -> list[Least]:
    exact = torch.get_float32_matmul_precision() == "highest"
    rounding: Precision = "fp32" if exact else "tf32"
    found: list[Least] = []
    for direction, kind in DIRECTIONS.items():
        work = kind.work(plan, batch)
        floor, limit = (None, "") if rates is None else floor_ms(work, rates, rounding)
        found.append(Least(direction=direction, work=work, floor_ms=floor, limit=limit))
    return found


def _rates(target: Target, present: bool, measure: bool) -> tuple[Rates | None, str]:
    """The rates of the device, and their source."""
    if target.dtype != torch.float32:
        return None, "unknown, as ceilings exist for float32 only"
    if not present:
        return None, f"unknown, as there is no {target.device} device here"
    if measure:
        found = measured(target.device)
        return found, found.source
    name = torch.cuda.get_device_name(target.device) if target.device.type == "cuda" else "a CPU"
    sheet = datasheet(name)
    if sheet is None:
        return None, f"unknown, as no datasheet of {name} is built in (measure=True measures)"
    return sheet, sheet.source
