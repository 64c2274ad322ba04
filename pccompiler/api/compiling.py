"""Compile, save, load and export circuits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from pccompiler.api.preparing import Dtype, Numerics, precision_of, prepare
from pccompiler.errors import CheckpointError, OptionError
from pccompiler.ir import Circuit, Generator, Sectors
from pccompiler.ir.sectors import Cut
from pccompiler.options import one_of, path_of, seed_of, shown
from pccompiler.passes import plan, verify

if TYPE_CHECKING:
    import torch

    from pccompiler.onnx_backend import ExportReport
    from pccompiler.torch_backend import CompiledCircuit
    from pccompiler.torch_backend.conditional import ConditionalCircuit, External
    from pccompiler.torch_backend.engines.optimize import Optimization


@overload
def compile(
    circuit: Circuit,
    hypernetwork: Generator | None = None,
    *,
    sectors: Sectors | Cut | None = None,
    device: str | torch.device | None = None,
    dtype: Dtype | torch.dtype = "float32",
    seed: int = 0,
    numerics: Numerics = "auto",
    memory_budget: int | str | None = None,
    optimize: Literal["auto"] | None = None,
) -> CompiledCircuit: ...


@overload
def compile(
    circuit: Circuit,
    hypernetwork: External,
    *,
    sectors: Sectors | Cut | None = None,
    device: str | torch.device | None = None,
    dtype: Dtype | torch.dtype = "float32",
    seed: int = 0,
    numerics: Numerics = "auto",
) -> ConditionalCircuit: ...


def compile(
    circuit: Circuit,
    hypernetwork: Generator | External | None = None,
    *,
    sectors: Sectors | Cut | None = None,
    device: str | torch.device | None = None,
    dtype: Dtype | torch.dtype = "float32",
    seed: int = 0,
    numerics: Numerics = "auto",
    memory_budget: int | str | None = None,
    optimize: Literal["auto"] | None = None,
) -> CompiledCircuit | ConditionalCircuit:
    """Check a circuit, lower it, and return it as a torch module.

    Args:
        circuit: Any circuit; one with a generator (from passes or a file) keeps it.
        hypernetwork: Generates the sum weights from sector embeddings, or any other generator.
            ``None``: every weight has its own logit. An `External` module makes weights from a
            context (docs/howto/conditional.md).
        sectors: Partition for the hypernetwork; by default one block per sum. A policy, such as
            ``Sectors(by="rows")``; a table of your own, ``Sectors(weight=, offset=, rows=,
            columns=)``; or a function from the weight of each dense sum and its shape,
            ``(weight, (rows, columns))``, to blocks ``(offset, rows, columns)``. Weights without a
            sector have logits of their own.
        device: Such as ``"cpu"`` or ``"cuda"``; by default torch's (``torch.set_default_device``),
            which is the CPU unless you change it.
        dtype: Precision of parameters and evaluation: a name, or torch's own type.
        seed: Seed of the initial parameters. Weights with given values start (exactly) there.
        numerics: ``"auto"``: linear arithmetic where it provably cannot underflow. ``"log"``: log
            space everywhere.
        memory_budget: The most bytes, or text such as ``"64 MiB"``, for evaluation and training
            beyond parameters and data; ``model.schedule`` shows how (docs/howto/memory.md).
        optimize: ``"auto"``: rewrite a circuit with given weights (``share``, ``merge``, ``pack``)
            if that should pay on the device. The values are proven to stay the same;
            ``model.optimization`` and `explain` show what was considered. Weights that become
            shared are trained together.

    Raises:
        CircuitError: If the circuit breaks a rule; all findings at once.
        OptionError: If an option is invalid.
    """
    import torch

    from pccompiler.torch_backend import CompiledCircuit
    from pccompiler.torch_backend.conditional import ConditionalCircuit, External, GivenCircuit
    from pccompiler.torch_backend.runtime.devices import usable_device

    external = None
    if isinstance(hypernetwork, External):
        _check_plain(memory_budget, optimize)
        external, hypernetwork = hypernetwork, None
    precision = precision_of(dtype)
    one_of("numerics", numerics, ("auto", "log"))
    _check_kinds(circuit, hypernetwork)
    where, start = usable_device(device), seed_of(seed)
    found = None
    if optimize is not None:
        one_of("optimize", optimize, ("auto",))
        made = hypernetwork is not None or sectors is not None
        circuit, found = _optimized(circuit, made, where, getattr(torch, precision))
    prepared, lowered = prepare(circuit, hypernetwork, sectors, precision, numerics)
    model = (CompiledCircuit if external is None else GivenCircuit)(
        prepared,
        lowered,
        device=where,
        dtype=getattr(torch, precision),
        seed=start,
        numerics=numerics,
    )
    model.set_weights(prepared.weights.values)
    model.optimization = found
    if memory_budget is not None:
        model.keep_within(memory_budget)
    if external is None or not isinstance(model, GivenCircuit):
        return model
    return ConditionalCircuit(model, external)


def _check_plain(memory_budget: int | str | None, optimize: str | None) -> None:
    given = {"memory_budget": memory_budget, "optimize": optimize}
    for name, value in given.items():
        if value is not None:
            raise OptionError.of(
                "PC921",
                f"{name}= does not work with weights from an external module",
                help=f"leave out {name}=; a module with blocks (pccompiler.Blockwise) saves memory",
            )


def _optimized(
    circuit: Circuit, made: bool, device: torch.device, dtype: torch.dtype
) -> tuple[Circuit, Optimization]:
    from pccompiler.torch_backend.engines.base import Target
    from pccompiler.torch_backend.engines.optimize import optimize

    verify(circuit)
    return optimize(circuit, Target(device, dtype), generated=made)


def _check_kinds(circuit: object, hypernetwork: object) -> None:
    if not isinstance(circuit, Circuit):
        raise OptionError.of(
            "PC316",
            f"{shown(circuit)} is not a circuit",
            help="build one, take one from pccompiler.structures, or read a file",
        )
    if not isinstance(hypernetwork, Generator | None):
        raise OptionError.of(
            "PC302",
            f"hypernetwork is {shown(hypernetwork)}",
            help="give a pccompiler.Hypernetwork(), or None",
        )


def save(model: CompiledCircuit, directory: str | Path) -> Path:
    """Write ``model`` to a folder atomically: IR text, safetensors and JSON.

    If the process is killed while writing, `load` finds either the old model or the new one.

    Raises:
        CheckpointError: If ``directory`` exists and is not a checkpoint, or parameters are NaN or
            infinite (a weight that is exactly zero may be).
        FileError: If the folder cannot be written, for example because the disk is full.
    """
    from pccompiler.torch_backend import checkpoint

    _check_whole(model)
    return checkpoint.save(model, path_of(directory))


def _check_whole(model: object) -> None:
    """Refuse models whose weights come from a module of the user's own, and other objects."""
    from pccompiler.torch_backend.data.entrance import check_model

    check_model(
        model,
        "pass what compile or load returned; of a ConditionalCircuit, model.given(context), or "
        "keep model.state_dict()",
    )


def load(directory: str | Path, *, device: str | torch.device | None = None) -> CompiledCircuit:
    """Read a model that `save` wrote; on the CPU its answers are bit-identical.

    ``device`` is as in `compile`.

    Raises:
        CheckpointError: If a file is missing, damaged or in another format, or parameters are not
            finite floating-point numbers.
    """
    import torch

    from pccompiler.torch_backend import checkpoint
    from pccompiler.torch_backend.runtime.devices import usable_device
    from pccompiler.torch_backend.weights.finite import check_finite

    where = usable_device(device)
    circuit, tensors, manifest = checkpoint.read(path_of(directory))
    model = compile(circuit, device="cpu", dtype=manifest["dtype"], numerics=manifest["numerics"])
    shapes = {name: tuple(p.shape) for name, p in model.weights.values.items()}
    if shapes != {name: tuple(t.shape) for name, t in tensors.items()}:
        raise CheckpointError.of(
            "PC503",
            f"the parameters in {directory} do not fit its circuit",
            help="the files belong to different models; save the model again",
        )
    checkpoint.check_parameters(model, tensors, f"the model in {directory} cannot be loaded")
    with torch.no_grad():
        for name, parameter in model.weights.values.items():
            parameter.copy_(tensors[name])
    model.weights.seed = checkpoint.seed_of(manifest)
    model.schema = checkpoint.schema_of(manifest)
    check_finite(model.weights)
    return model.to(where)


def export_onnx(
    model: CompiledCircuit,
    path: str | Path,
    *,
    weights: Literal["compact", "materialized"] = "compact",
    metadata: Mapping[str, str] | None = None,
    query: str = "log_likelihood",
) -> ExportReport:
    """Write the log-likelihood of ``model`` as an ONNX file, verified before it is published.

    The file takes ``x``, float32, shape ``(batch, variables)``, NaN where missing, and returns
    ``log_likelihood``, shape ``(batch,)``, in nats.

    Args:
        model: Any compiled circuit.
        path: Where to write.
        weights: ``"compact"``: the parameters, and the hypernetwork as nodes. ``"materialized"``:
            the weights that it generates.
        metadata: Further entries of the file's metadata.
        query: The query that the file answers; other packages may declare more in
            ``pccompiler.onnx_queries`` (see `pccompiler.onnx_backend.queries`).

    Raises:
        ExportError: If ONNX Runtime's answers differ from the oracle's by more than rounding to
            float32 explains (`pccompiler.ir.plan.rounding`), or the file cannot be written.
            No file is left behind.
    """
    from pccompiler.onnx_backend import export

    _check_whole(model)
    return export(
        plan(model.circuit, dtype="float32", numerics=model.numerics),
        model.parameters_as_numpy(),
        path_of(path),
        weights=weights,
        fingerprint=model.circuit.fingerprint,
        metadata=metadata,
        query=query,
    )
