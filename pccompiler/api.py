"""The road from a circuit to a trained, saved and exported model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pccompiler.errors import CheckpointError, OptionError
from pccompiler.ir import Circuit, Direct, Generator, Hypernetwork, Sectors
from pccompiler.ir.generators import WEIGHT_FLOOR, uses_sectors
from pccompiler.ir.partition import partition
from pccompiler.passes import plan, verify
from pccompiler.passes.precision import check_domains

if TYPE_CHECKING:
    import torch

    from pccompiler.onnx_backend import ExportReport
    from pccompiler.torch_backend import CompiledCircuit

Dtype = Literal["float32", "float64"]
Numerics = Literal["auto", "log"]


def compile(
    circuit: Circuit,
    hypernetwork: Hypernetwork | None = None,
    *,
    sectors: Sectors | None = None,
    device: str | torch.device = "cpu",
    dtype: Dtype = "float32",
    seed: int = 0,
    numerics: Numerics = "auto",
    memory_budget: int | str | None = None,
) -> CompiledCircuit:
    """Check a circuit, lower it, and make it a torch module.

    Args:
        circuit: Any circuit; one with a generator (from passes or a file) keeps it.
        hypernetwork: Generates the sum weights from sector embeddings. ``None``: every weight has
            its own logit.
        sectors: Partition for the hypernetwork; by default one block a sum.
        device: Such as ``"cpu"`` or ``"cuda"``.
        dtype: Precision of parameters and evaluation.
        seed: Of the initial parameters. Weights with given values start (exactly) there instead.
        numerics: ``"auto"``: linear arithmetic where it provably cannot underflow. ``"log"``: log
            space everywhere.
        memory_budget: Bytes, or text such as ``"64 MiB"``, that evaluation and training may take
            beyond parameters and data; ``model.schedule`` says how it is kept (docs/streaming.md).

    Raises:
        CircuitError: If the circuit breaks a rule; all findings at once.
        OptionError: If an option cannot be used.
    """
    import torch

    from pccompiler.torch_backend import CompiledCircuit

    if dtype not in ("float32", "float64"):
        raise OptionError.of("PC302", f"unknown dtype {dtype!r}", help="use 'float32' or 'float64'")
    if numerics not in ("auto", "log"):
        raise OptionError.of("PC302", f"unknown numerics {numerics!r}", help="use 'auto' or 'log'")
    verify(circuit)
    prepared = _with_generator(circuit, hypernetwork, sectors)
    check_domains(prepared, dtype)
    model = CompiledCircuit(
        prepared,
        plan(prepared, dtype=dtype, numerics=numerics),
        device=torch.device(device),
        dtype=getattr(torch, dtype),
        seed=seed,
        numerics=numerics,
    )
    model.set_weights(prepared.weights.values)
    if memory_budget is not None:
        from pccompiler.torch_backend.schedule import parse_bytes

        model.keep_within(parse_bytes(memory_budget))
    return model


def _with_generator(
    circuit: Circuit, hypernetwork: Hypernetwork | None, sectors: Sectors | None
) -> Circuit:
    generator: Generator | None = hypernetwork or circuit.generator
    if hypernetwork is not None and circuit.generator not in (None, hypernetwork):
        raise OptionError.of(
            "PC307",
            "the circuit has a generator already, and compile was given another one",
            help="compile it without hypernetwork=, or drop it: circuit.replace(generator=None)",
        )
    if generator is None:  # given weights mean what they say; trained ones stay off zero
        generator = Direct(floor=0.0 if circuit.weights.values else WEIGHT_FLOOR)
    if sectors is not None or (uses_sectors(generator) and circuit.sectors is None):
        circuit = partition(circuit, sectors or Sectors())
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
            help="compile without a hypernetwork, or give these weights no values",
        )


def save(model: CompiledCircuit, directory: str | Path) -> Path:
    """Write ``model`` to a folder: IR text, safetensors and JSON, whole or not at all.

    Raises:
        CheckpointError: If ``directory`` exists and is no checkpoint.
    """
    from pccompiler.torch_backend import checkpoint

    return checkpoint.save(model, directory)


def load(directory: str | Path, *, device: str | torch.device = "cpu") -> CompiledCircuit:
    """Read a model that `save` wrote; on the CPU it gives the same answers, bit for bit.

    Raises:
        CheckpointError: If a file is missing, damaged or from another format.
    """
    import torch

    from pccompiler.torch_backend import checkpoint
    from pccompiler.torch_backend.finite_weights import check_finite

    circuit, tensors, manifest = checkpoint.read(directory)
    model = compile(circuit, device="cpu", dtype=manifest["dtype"], numerics=manifest["numerics"])
    shapes = {name: tuple(p.shape) for name, p in model.weights.values.items()}
    if shapes != {name: tuple(t.shape) for name, t in tensors.items()}:
        raise CheckpointError.of(
            "PC503",
            f"the parameters in {directory} do not fit its circuit",
            help="the files are of different models; save the model again",
        )
    with torch.no_grad():
        for name, parameter in model.weights.values.items():
            parameter.copy_(tensors[name])
    check_finite(model.weights)
    return model.to(torch.device(device))


def export_onnx(
    model: CompiledCircuit,
    path: str | Path,
    *,
    weights: Literal["compact", "materialized"] = "compact",
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Write the log-likelihood of ``model`` as an ONNX file, checked before it appears.

    The file takes ``x``, float32, shape ``(batch, variables)``, NaN where missing, and gives
    ``log_likelihood``, shape ``(batch,)``, in nats.

    Args:
        model: Any compiled circuit.
        path: Where to write.
        weights: ``"compact"``: the parameters, and the hypernetwork as nodes. ``"materialized"``:
            the weights that it generates.
        metadata: Further entries of the file's metadata.

    Raises:
        ExportError: If ONNX Runtime's answers differ from the oracle's by more than rounding to
            float32 explains (`pccompiler.ir.rounding`), or the file cannot be written. Nothing is
            left behind.
    """
    from pccompiler.onnx_backend import export

    return export(
        plan(model.circuit, dtype="float32", numerics=model.numerics),
        model.parameters_as_numpy(),
        path,
        weights=weights,
        fingerprint=model.circuit.fingerprint,
        metadata=metadata or {},
    )
