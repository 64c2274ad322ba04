"""Families from outside: effects of registering one, and refusals."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.errors import OptionError, PluginError
from pccompiler.ir import Builder, Family, parse, real, to_text
from pccompiler.ir.arrays import Float
from pccompiler.ir.expressions.variables import variables
from pccompiler.ir.families import Parameter, base, positive, register, simplex
from pccompiler.ir.families.registry import RESERVED
from pccompiler.ir.variables import Variable
from pccompiler.passes import Check, plan
from pccompiler.structures import naive_bayes_mixture
from pccompiler.testing import density
from pccompiler.testing.random_circuits import random_circuit

Golden = Callable[[str], None]
Install = Callable[..., None]


class Exponential(Family):
    """A waiting time."""

    keyword = "exponential"
    domains = ("real",)
    parameters = (Parameter("rate", positive),)

    def log_value(
        self, x: Float, parameters: Sequence[Float], variables: Sequence[Variable]
    ) -> Float:
        """The density is 0 at negative values."""
        (rate,) = parameters
        return np.where(x < 0.0, -np.inf, np.log(rate) - rate * x)


@pytest.fixture(autouse=True)
def _only_here() -> Iterator[None]:
    known = list(base._MEMBERS)
    yield
    base._MEMBERS[:] = known


def test_a_family_from_outside_is_like_ours() -> None:
    family = register(Exponential)
    assert list(Family)[-1] is family is Family.EXPONENTIAL is Family["exponential"]
    assert pickle.loads(pickle.dumps(family)) is copy.deepcopy(family) is family
    b = Builder([real("wait")])
    root = b.sum([b.exponential(0, [0.5, 2.0], name="calls")], weights=[[0.25, 0.75]])
    circuit = b.build(root)
    assert Check()(circuit) is circuit
    assert parse(to_text(circuit)) == circuit
    assert density(circuit, [1.0]) == pytest.approx(0.125 * np.exp(-0.5) + 1.5 * np.exp(-2.0))
    (wait,) = variables(real("wait"))
    assert wait.exponential(rate=[0.5, 2.0]).sum().circuit().family[0] == family
    assert plan(naive_bayes_mixture([real("wait")], 3, leaf="exponential")).layers[0].lowest == 0.0
    assert random_circuit(0, families=[family]).variables[0].domain == "real"


def test_bad_values_are_found_by_support(golden: Golden) -> None:
    register(Exponential)
    b = Builder([real("wait"), pc.ir.count("calls")])
    wait = b.exponential(0, [[1.0], [-2.0]], name="wait")
    wrong = b.exponential(1, [1.0, 2.0], name="calls")
    with pytest.raises(pc.PCCompilerError) as caught:
        Check()(b.build(b.sum([b.product([wait, wrong])], weights=[[0.5, 0.5]])))
    golden("\n".join(d.message + " | " + (d.help or "") for d in caught.value.diagnostics) + "\n")


def made(name: str, **changes: object) -> type[Family]:
    return type(name, (Exponential,), changes)


def named(name: str) -> tuple[Parameter, ...]:
    return (Parameter(name, positive),)


def test_no_family_hides_a_method() -> None:
    (wait,) = variables(real("wait"))
    names = {name for name in [*dir(Builder), *object.__dir__(wait)] if not name.startswith("_")}
    assert names <= RESERVED | {family.keyword for family in Family}


def test_refusals(golden: Golden) -> None:
    register(Exponential)
    two = (Parameter("p", simplex, lambda v: 2), Parameter("q", simplex, lambda v: 3))
    attempts: list[Callable[[], object]] = [
        lambda: register(int),  # type: ignore[arg-type]
        lambda: register(made("Spaced", keyword="two words")),
        lambda: register(made("Sum", keyword="sum")),
        lambda: register(made("Nowhere", keyword="nowhere", domains=("complex",))),
        lambda: register(made("Bare", keyword="bare", parameters=())),
        lambda: register(made("Twins", keyword="twins", parameters=Exponential.parameters * 2)),
        lambda: register(made("Wide", keyword="wide", parameters=two)),
        lambda: register(made("Vague", keyword="vague", log_value=Family.log_value)),
        lambda: register(made("Sums", keyword="sums")),
        lambda: register(made("Lambda", keyword="lambda")),
        lambda: register(made("Keyed", keyword="keyed", parameters=named("lambda"))),
        lambda: register(made("Many", keyword="many", parameters=named("units"))),
        lambda: register(made("Heavy", keyword="heavy", parameters=named("weight"))),
        lambda: register(made("Table", keyword="table", tabular=True)),
        lambda: register(made("Other")),
    ]
    found: list[str] = []
    for attempt in attempts:
        with pytest.raises(OptionError) as caught:
            attempt()
        found.append(str(caught.value))
    golden("\n".join(found) + "\n")


def test_a_cell_may_run_twice() -> None:
    first = register(made("Again", keyword="again"))
    second = register(made("Again", keyword="again"))
    assert int(first) == int(second)
    assert Family.AGAIN is second


CODE = """
import numpy as np
from pccompiler.ir import Family
from pccompiler.ir.families import Parameter, real, register

class Point(Family):
    keyword, domains, parameters = "point", ("count",), (Parameter("place", real),)
    def log_value(self, x, parameters, variables):
        return np.where(x == parameters[0], 0.0, -np.inf)

POINT = register(Point)
"""


def test_installed_families_load_when_they_are_asked_for(install: Install) -> None:
    text = "pcir 1\nvariable k count\n%0 = input k point 1 @0\nroot %0\nweight @0 3.0\n"
    install("points", "pccompiler.families", {"point": "points:POINT"}, CODE)
    assert density(parse(text), [3.0]) == 1.0


def test_an_entry_point_names_what_register_returned(install: Install, golden: Golden) -> None:
    install("points", "pccompiler.families", {"point": "points:Point"}, CODE)
    with pytest.raises(PluginError) as caught:
        Family["point"]
    golden(str(caught.value) + "\n")


def test_a_broken_package_affects_its_own_families_only(install: Install) -> None:
    install("points", "pccompiler.families", {"point": "points:POINT"}, CODE)
    install("broken", "pccompiler.families", {"bad": "broken:BAD"}, "raise ImportError('no lib')")
    b = Builder([pc.ir.count("k")])
    assert not hasattr(b, "frobnicate")
    assert "point" not in {family.keyword for family in base.registered()}  # not imported
    assert density(b.build(b.point(0, [3.0])), [3.0]) == 1.0
    with pytest.raises(OptionError, match=r"PC302.*'foo'"):
        pc.rat_spn(4, 1, 2, seed=0, leaf="foo")
    with pytest.raises(pc.errors.ParseError, match="PC207"):
        parse("pcir 1\nvariable k count\n%0 = input k poisonn 1 @0\nroot %0\n")
    assert Family["point"] in list(Family)
    uses: list[Callable[[], object]] = [lambda: b.bad(0, [3.0]), lambda: Family.BAD]
    for use in uses:
        with pytest.raises(PluginError, match=r"PC790.*'bad'.*'broken'"):
            use()
