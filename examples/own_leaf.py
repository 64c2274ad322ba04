"""Two leaf families from outside the package: von Mises and Student's t.

Each is a class that defines the family, and an instance that implements it in torch; von Mises also
has nodes for ONNX. Everything else follows: text form, builder, checks, training by
gradient and by expectation maximisation, samples, conditionals, moments, information, checkpoints.

Run it: ``python examples/own_leaf.py``. It takes seconds on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor
from torch.distributions import StudentT, VonMises, constraints

import pccompiler as pc
from pccompiler.errors import PCCompilerError
from pccompiler.ir import Builder, Circuit, Variable, parse, to_text
from pccompiler.ir import real as real_variable
from pccompiler.ir.arrays import Float
from pccompiler.ir.families import Family, Parameter, positive, real, register
from pccompiler.onnx_backend.leaves import registry as onnx_leaves
from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf
from pccompiler.torch_backend.leaves import registry as torch_leaves
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf

PI = float(np.float32(math.pi))  # the greatest angle that float32 data have

# Von Mises: a bell on a circle ----------------------------------------------------------------


class VonMisesFamily(Family):
    """Angles from -pi to pi, about a mean direction."""

    keyword, domains = "von_mises", ("real",)
    parameters = (Parameter("loc", real), Parameter("concentration", positive))
    in_float64 = True

    def log_value(
        self, x: Float, parameters: Sequence[Float], variables: Sequence[Variable]
    ) -> Float:
        """The density by the angle; 0 outside."""
        loc, concentration = parameters
        bessel = np.log(2.0 * math.pi * np.i0(concentration))
        inside = np.abs(x) <= PI
        logs = concentration * np.cos(x - loc) - bessel
        return np.asarray(np.where(inside, logs, -np.inf))


class VonMisesLeaf(DistributionLeaf):
    """Torch's class, on an interval."""

    def mode(self, units: Units) -> Tensor:
        """The mean direction, as an angle."""
        loc = units.parameters[..., 0]
        return torch.atan2(loc.sin(), loc.cos())


VON_MISES = register(VonMisesFamily)
torch_leaves.register(VonMisesLeaf("von_mises", VonMises, constraints.interval(-PI, PI)))

# Student's t: a bell with heavy tails ---------------------------------------------------------


class StudentTFamily(Family):
    """Degrees of freedom, location and scale."""

    keyword, domains = "student_t", ("real",)
    parameters = (Parameter("df", positive), Parameter("loc", real), Parameter("scale", positive))
    everywhere, in_float64 = True, True

    def log_value(
        self, x: Float, parameters: Sequence[Float], variables: Sequence[Variable]
    ) -> Float:
        """Tails like powers."""
        df, loc, scale = parameters
        log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
        constant = log_gamma((df + 1.0) / 2.0) - log_gamma(df / 2.0) - 0.5 * np.log(df * math.pi)
        squared = ((x - loc) / scale) ** 2
        return np.asarray(constant - np.log(scale) - 0.5 * (df + 1.0) * np.log1p(squared / df))


STUDENT_T = register(StudentTFamily)
torch_leaves.register(DistributionLeaf("student_t", StudentT))

# Nodes for ONNX ----------------------------------------------------------------------------------


class VonMisesNodes(OnnxLeaf):
    """A cosine; ONNX has no Bessel function, so the constant is a number."""

    keyword = "von_mises"

    def log_density(self, leaf: LeafNodes) -> str:
        """In float64; the constant is computed here."""
        graph, x = leaf.graph, leaf.graph.wide(leaf.values)
        loc, concentration = leaf.parameter("loc"), leaf.parameter("concentration")
        turned = graph.op("Mul", concentration, graph.op("Cos", graph.op("Sub", x, loc)))
        logs = graph.op("Sub", turned, leaf.derived("log_bessel", self._log_bessel))
        edge = graph.constant(PI, np.float64)
        inside = graph.op("LessOrEqual", graph.op("Abs", x), edge)
        nothing = graph.constant(-math.inf, np.float64)
        return graph.cast(graph.op("Where", inside, logs, nothing))

    @staticmethod
    def _log_bessel(values: Float) -> Float:
        return np.asarray(np.log(2.0 * math.pi * np.i0(values[..., 1:])))


class StudentTNodes(OnnxLeaf):
    """Tails like powers."""

    keyword = "student_t"

    def log_density(self, leaf: LeafNodes) -> str:
        """In float64."""
        graph = leaf.graph
        df, loc, scale = (leaf.parameter(name) for name in ("df", "loc", "scale"))
        away = graph.op("Div", graph.op("Sub", graph.wide(leaf.values), loc), scale)
        ratio = graph.op("Div", graph.op("Mul", away, away), df)
        one, half = (graph.constant(value, np.float64) for value in (1.0, -0.5))
        power = graph.op("Mul", graph.op("Add", df, one), half)
        tail = graph.op("Mul", power, graph.op("Log", graph.op("Add", ratio, one)))
        constant = leaf.derived("log_constant", self._log_constant)
        return graph.cast(graph.op("Add", tail, constant))

    @staticmethod
    def _log_constant(values: Float) -> Float:
        df, _, scale = np.split(values, 3, axis=-1)
        log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
        constant = log_gamma((df + 1.0) / 2.0) - log_gamma(df / 2.0) - 0.5 * np.log(df * math.pi)
        return np.asarray(constant - np.log(scale))


# What follows ---------------------------------------------------------------------------------


def wind() -> tuple[Circuit, Float]:
    """A mixture over a direction and a gust's excess, and data from two kinds of weather."""
    b = Builder([real_variable("direction"), real_variable("excess")])
    leaves = [b.von_mises(0, units=2), b.student_t(1, units=2)]
    circuit = b.build(b.sum([b.product(leaves)], 1))
    rng = np.random.default_rng(0)
    kind = rng.random(600) < 0.4
    direction = np.where(kind, rng.vonmises(-1.0, 4.0, 600), rng.vonmises(2.0, 8.0, 600))
    excess = np.where(kind, 6.0, -1.0) + rng.standard_t(4.0, 600)
    return circuit, np.stack([direction, excess], axis=1)


def single(model: pc.CompiledCircuit, kind: int) -> pc.CompiledCircuit:
    """One kind of weather alone: a product of two leaves, which is deterministic."""
    values = model.weight_values()
    b = Builder([real_variable("direction"), real_variable("excess")])
    angle = b.von_mises(0, values[0][kind : kind + 1])
    gust = b.student_t(1, values[1][kind : kind + 1])
    return pc.compile(b.build(b.product([angle, gust])), dtype="float64")


def main() -> None:
    """Ask every question once."""
    circuit, x = wind()
    print(to_text(circuit))
    assert parse(to_text(circuit)) == circuit

    model = pc.compile(circuit, dtype="float64")
    pc.initialise(model, x)
    history = pc.fit_em(model, x, iterations=12, pseudocount=0.0, progress=False)
    climb = [evaluation.train for evaluation in history.evaluations]
    print(f"EM: from {climb[0]:.3f} to {climb[-1]:.3f} nats a row")
    other = pc.compile(circuit, dtype="float64")
    pc.fit(other, x, steps=150, batch_size=200, learning_rate=0.05, progress=False)
    print(f"gradient: {float(other.log_likelihood(x).detach().mean()):.3f} nats a row")

    print("draws:", model.sample(3, seed=0).tolist())
    strong = np.array([[math.nan, 6.0]])
    directions = model.sample_conditional(strong, 3, seed=0)[0, :, 0]
    print("directions of strong wind:", directions.tolist())
    posterior = model.posterior_marginals(strong)
    print("their mean:", float(posterior.mean[0, 0]))
    print("their variance:", float(posterior.variance[0, 0]))
    print("the most probable one:", float(model.mpe(strong).rows[0, 0]))
    cosine = model.expectation({"direction": torch.cos}, strong)
    print("their mean cosine:", float(cosine.detach()))

    one, two = single(model, 0), single(model, 1)
    print("entropies:", float(one.entropy().detach()), float(two.entropy().detach()))
    print("divergence:", float(one.kl(two).detach()))
    print("overlap:", float(model.inner_product(other).detach().exp()))

    with TemporaryDirectory() as folder:
        pc.save(model, Path(folder) / "wind.pt")
        loaded = pc.load(Path(folder) / "wind.pt")
        assert torch.equal(loaded.log_likelihood(x), model.log_likelihood(x))
        path = Path(folder) / "wind.onnx"
        try:
            pc.export_onnx(model, path)
        except PCCompilerError as refusal:
            print(refusal)
        onnx_leaves.register(VonMisesNodes())
        onnx_leaves.register(StudentTNodes())
        print(pc.export_onnx(model, path))


if __name__ == "__main__":
    main()
