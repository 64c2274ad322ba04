"""Models under torch.func, torch.compile, torch.export, copy and pickle."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vmap

import pccompiler as pc
from pccompiler.api import Dtype
from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Hypernetwork
from pccompiler.testing.families import family_mixture
from pccompiler.testing.random_circuits import rows as random_rows
from pccompiler.testing.random_weights import random_weights, with_values
from pccompiler.testing.scalars import to_scalars
from pccompiler.torch_backend import CompiledCircuit

# Torch itself uses deprecated functions here.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning")
Named = dict[str, Tensor]
MODELS: dict[str, Callable[[Dtype], CompiledCircuit]] = {
    "families": lambda dtype: pc.compile(family_mixture(3), dtype=dtype),
    "tree": lambda dtype: pc.compile(pc.rat_spn(6, 3, 2), dtype=dtype),
    "net": lambda dtype: pc.compile(pc.rat_spn(6, 3, 2), Hypernetwork(hidden=(4,)), dtype=dtype),
    "packed": lambda dtype: pc.compile(scalars(), dtype=dtype),
}


def scalars() -> Circuit:
    circuit = pc.rat_spn(6, 2, 2)
    return to_scalars(with_values(circuit, random_weights(circuit, 0)))


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Dtype:
    return "float32" if request.param == "float32" else "float64"


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, dtype: Dtype) -> CompiledCircuit:
    return MODELS[str(request.param)](dtype)


@pytest.fixture
def x(model: CompiledCircuit) -> Tensor:
    return model.prepare(random_rows(model.circuit, 0, number=4, missing=0.2))


def called(model: CompiledCircuit, named: Named, x: Tensor) -> Tensor:
    result: Tensor = functional_call(model, named, (x,))
    return result


def named(model: CompiledCircuit) -> Named:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def close(found: Tensor, want: Tensor) -> None:
    """Kernels in float32 have a rounding error of about 1e-5."""
    tolerance = 1e-9 if want.dtype == torch.float64 else 1e-4
    torch.testing.assert_close(found, want, rtol=tolerance, atol=tolerance)


def test_derivatives_by_the_parameters(model: CompiledCircuit, x: Tensor) -> None:
    """Transforms come first, since nothing that they leave behind may affect what follows."""
    jacobian = jacrev(lambda p: called(model, p, x))(named(model))
    forward = jacfwd(lambda p: called(model, p, x))(named(model))
    by_row = vmap(grad(lambda p, row: called(model, p, row[None])[0]), (None, 0))(named(model), x)
    want = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    for (name, _), gradient in zip(model.named_parameters(), want, strict=True):
        close(jacobian[name].sum(0), gradient)
        close(forward[name], jacobian[name])
        close(by_row[name], jacobian[name])


def test_hessians_by_the_parameters(model: CompiledCircuit, x: Tensor) -> None:
    found = hessian(lambda p: called(model, p, x).sum())(named(model))
    parameters = dict(model.named_parameters())
    grads = torch.autograd.grad(model(x).sum(), list(parameters.values()), create_graph=True)
    for (name, parameter), gradient in zip(parameters.items(), grads, strict=True):
        want = torch.autograd.grad(gradient.sum(), parameter, retain_graph=True)[0]
        close(found[name][name].flatten(0, parameter.ndim - 1).sum(0), want)


def test_derivatives_by_the_data(model: CompiledCircuit, x: Tensor) -> None:
    def of_row(row: Tensor) -> Tensor:
        result: Tensor = model(row.unsqueeze(0))[0]
        return result

    slopes = vmap(grad(of_row))(x)
    real = torch.tensor([v.domain == "real" for v in model.circuit.variables])
    assert not bool(slopes[:, ~real].any())
    second = hessian(of_row)(x[0])
    assert bool(second.isfinite().all())
    if bool(real.any()):
        inputs = x.clone().requires_grad_()
        close(slopes, torch.autograd.grad(model(inputs).sum(), inputs)[0])
        point = x[0].clone().requires_grad_()
        (first,) = torch.autograd.grad(of_row(point), point, create_graph=True)
        rows = [torch.autograd.grad(one, point, retain_graph=True)[0] for one in first]
        close(second, torch.stack(rows))


def test_forward_mode(model: CompiledCircuit, x: Tensor) -> None:
    way = torch.ones_like(x)
    tangent = jvp(model, (x,), (way,))[1]
    close(tangent, torch.einsum("bv,bv->b", vmap(grad(lambda r: model(r[None])[0]))(x), way))
    with forward_ad.dual_level():
        primal, dual = forward_ad.unpack_dual(model(forward_ad.make_dual(x, way)))
        close(primal, model(x))
        close(torch.zeros_like(tangent) if dual is None else dual, tangent)


def test_vmap(model: CompiledCircuit, x: Tensor) -> None:
    close(vmap(lambda row: model(row[None])[0])(x), model(x))
    close(vmap(lambda row: model.log_likelihood(row[None])[0])(x), model(x))


def test_vmap_of_several_models(dtype: Dtype) -> None:
    models = [pc.compile(pc.rat_spn(6, 3, 2), dtype=dtype, seed=seed) for seed in range(3)]
    x = torch.randint(0, 2, (5, 6)).to(models[0].dtype)
    parameters, buffers = stack_module_state(models)
    found = vmap(lambda p, b: functional_call(models[0], (p, b), (x,)))(parameters, buffers)
    close(found, torch.stack([model(x) for model in models]))


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, torch.inf])
def test_vmap_says_nan_of_what_is_no_state(value: float) -> None:
    """Under vmap no error can depend on a value."""
    model = pc.compile(pc.rat_spn(6, 3, 2))
    x = torch.zeros(3, 6)
    x[1, 4] = value
    found = vmap(lambda row: model.log_likelihood(row[None])[0])(x)
    assert found.isnan().tolist() == [False, True, False]


def big() -> tuple[CompiledCircuit, Tensor]:
    """2,317 nodes, for which torch.compile once took two minutes."""
    return pc.compile(pc.rat_spn(16, 50, 5)), torch.randint(0, 2, (20, 16)).float()


def test_compile() -> None:
    model, x = big()
    parameters = list(model.parameters())
    want = torch.autograd.grad(model(x).sum(), parameters)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        compiled = torch.compile(model, backend="eager")
        found = torch.autograd.grad(compiled(x).sum(), parameters)
        torch.testing.assert_close(compiled(x), model(x), rtol=0, atol=0)
        torch.testing.assert_close(compiled(x[:7]), model(x[:7]), rtol=0, atol=0)
    assert [str(w.message) for w in said if "script_method" not in str(w.message)] == []
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other)


def test_compiled_functions_break_once() -> None:
    model, x = big()

    def loss(x: Tensor) -> Tensor:
        result: Tensor = model(x * 1.0).mean() * 2.0
        return result

    def checked(x: Tensor) -> Tensor:
        return model.log_likelihood(x * 1.0).mean() * 2.0

    for function in (loss, checked):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about its own access to .grad
            torch._dynamo.reset()
            assert torch._dynamo.explain(function)(x).graph_break_count == 1
            found = torch.compile(function, backend="eager")(x)
        torch.testing.assert_close(found, function(x))


def record(how: str, model: CompiledCircuit, x: Tensor) -> None:
    if how == "trace":
        torch.jit.trace(model, (x,))
    else:
        torch.export.export(model, (x,), strict=how == "strict")


@pytest.mark.parametrize("how", ["export", "trace"])
def test_exports_are_refused(how: str, golden: Callable[[str], None]) -> None:
    model, x = big()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(OptionError) as error:
            record(how, model, x)
    golden(str(error.value))


def test_strict_export_is_refused_by_torch() -> None:
    model, x = big()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception, match=r"pccompiler\.export_onnx"):
            record("strict", model, x)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch"])
def test_copies_are_models_of_their_own(how: str, model: CompiledCircuit, x: Tensor) -> None:
    want = model(x).detach()  # makes kernels and indices, which are copied or left out
    if how == "deepcopy":
        twin = copy.deepcopy(model)
    elif how == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        twin = torch.load(file, weights_only=False)
    torch.testing.assert_close(twin(x), want, rtol=0, atol=0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0 + torch.rand_like(parameter))
    assert not torch.equal(twin(x), want)
    torch.testing.assert_close(model(x), want, rtol=0, atol=0)
