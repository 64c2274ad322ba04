"""Properties of a circuit, and the queries that they make tractable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pccompiler.errors import CircuitError, Diagnostic
from pccompiler.ir import Circuit
from pccompiler.passes.analysis.compatibility import compatibility
from pccompiler.passes.analysis.determinism.decide import determinism
from pccompiler.passes.analysis.vtrees.find import structure
from pccompiler.passes.analysis.vtrees.partitions import describe
from pccompiler.passes.check.wellformed import findings
from pccompiler.showing import Table, as_html

Answer = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Property:
    """One property.

    Attributes:
        name: Its usual name in the literature.
        answer: Whether it holds.
        why: The reason, with culprits if it does not hold.
        way_out: What would make it hold, if anything.
    """

    name: str
    answer: Answer
    why: str
    way_out: str = ""


@dataclass(frozen=True)
class Query:
    """One query.

    Attributes:
        name: What is asked.
        answer: Whether it is tractable on this circuit.
        cost: Its cost in words; empty if it is not tractable.
        why: Which properties decide this.
    """

    name: str
    answer: Answer
    cost: str
    why: str


@dataclass(frozen=True)
class Properties:
    """The report; ``str`` is for people, `to_dict` for programs."""

    properties: tuple[Property, ...]
    queries: tuple[Query, ...]

    def __getitem__(self, name: str) -> Property:
        return next(entry for entry in self.properties if entry.name == name)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values (hence ``Any``)."""
        return asdict(self)

    def __str__(self) -> str:
        lines: list[str] = []
        for entry in self.properties:
            lines.append(f"{entry.name:<26}{entry.answer:<9}{entry.why}")
            if entry.way_out:
                lines.append(f"{'':<35}{entry.way_out}")
        lines.append("")
        lines += [
            f"{query.name:<26}{query.answer:<9}{query.cost or query.why}" for query in self.queries
        ]
        return "\n".join(lines) + "\n"

    def __repr__(self) -> str:
        return f"Properties({_headline(self.properties)})"

    def _repr_html_(self) -> str:
        """HTML for notebooks: what holds, and what that makes tractable."""
        held = [
            (_mark(p.answer), p.name, "; ".join(filter(None, [p.why, p.way_out])))
            for p in self.properties
        ]
        asked = [(_mark(q.answer), q.name, q.cost or q.why) for q in self.queries]
        tables = [Table(("", "property", "why"), held), Table(("", "query", "cost"), asked)]
        return as_html(_headline(self.properties), tables[: 1 + bool(asked)])


def _headline(entries: Sequence[Property]) -> str:
    """``smooth, decomposable; not deterministic``."""
    held = [entry.name for entry in entries if entry.answer == "yes"]
    not_held = [entry.name for entry in entries if entry.answer == "no"]
    return "; ".join([", ".join(held) or "nothing holds", *[f"not {n}" for n in not_held]])


def _mark(answer: Answer) -> str:
    return {"yes": "\u2713\u00a0yes", "no": "\u2717\u00a0no", "unknown": "?\u00a0unknown"}[answer]


def properties(circuit: Circuit, other: Circuit | None = None) -> Properties:
    """Decide what can be decided soundly and cheaply.

    Args:
        circuit: Any circuit.
        other: A second one, to decide whether both can be multiplied.

    Source:
        Choi, Vergari and Van den Broeck (2020), "Probabilistic Circuits"; Vergari et al. (2021),
        "A Compositional Atlas of Tractable Circuit Operations".
    """
    found = findings(circuit)
    entries = _of_rules(found)
    broken = [finding for finding in found if finding.code not in ("PC101", "PC102")]
    if found:
        told = broken[0].message if broken else "see above"
        rest = Property("well-formed", "no", told, "run 'pccompiler check' for all findings")
        return Properties((*entries, rest), ())
    entries += [decide(circuit) for decide in _DECIDED.values()]
    if other is not None:
        entries.append(_compatible(circuit, other))
    return Properties(tuple(entries), _queries({e.name: e.answer for e in entries}))


def require(circuit: Circuit, name: str, query: str) -> None:
    """Refuse a query if the circuit lacks a property that it needs; decide only that property.

    Raises:
        CircuitError: Names the property, the culprits and a way out, or else the findings about a
            circuit that is not well-formed.
    """
    found = findings(circuit)
    of_rules = {entry.name: entry for entry in _of_rules(found)}
    if found and name not in of_rules:
        raise CircuitError(found)
    entry = of_rules[name] if name in of_rules else _DECIDED[name](circuit)
    if entry.answer != "yes":
        state = "is not" if entry.answer == "no" else "is not known to be"
        raise CircuitError.of(
            "PC120",
            f"{query} needs a {name} circuit, and this one {state}",
            notes=[entry.why],
            help=entry.way_out or "'pccompiler properties' lists the queries that are tractable",
        )


def _of_rules(found: Sequence[Diagnostic]) -> list[Property]:
    """The properties that the check's rules decide."""
    codes = {finding.code: finding for finding in reversed(found)}
    return [
        _checked("smooth", codes, "PC101", "sums mix operands over the same variables"),
        _checked("decomposable", codes, "PC102", "products join disjoint scopes"),
    ]


def _checked(name: str, codes: Mapping[str, Diagnostic], code: str, why: str) -> Property:
    if code not in codes:
        return Property(name, "yes", why)
    return Property(name, "no", codes[code].message, codes[code].help or "")


def _structured(circuit: Circuit) -> Property:
    found = structure(circuit)
    if found.vtree is not None:
        return Property(
            "structured decomposable", "yes", f"one vtree with {found.vtree.splits:,} splits"
        )
    first, second = (describe(circuit, node) for node in found.culprits[:2])
    return Property(
        "structured decomposable",
        "no",
        f"{first}, but {second}: no vtree allows both",
        "build all products over one region tree, for example one replica of a RAT-SPN",
    )


def _deterministic(circuit: Circuit) -> Property:
    found = determinism(circuit)
    why = found.reason
    if found.witness:
        shown = list(found.witness.items())[:8]
        world = ", ".join(f"{circuit.variables[v].name}={state:g}" for v, state in shown)
        why += f" where {world}" + (", ..." if len(found.witness) > 8 else "")
    ways = {"yes": "", "no": "", "unknown": "condition or marginalize variables first"}
    return Property("deterministic", found.verdict, why, ways[found.verdict])


def _normalized(circuit: Circuit) -> Property:
    if circuit.log_scale == 0.0:
        return Property("normalized", "yes", "rows of weights sum to 1, and so do all worlds")
    mass = f"exp({circuit.log_scale:.6g}) = {np.exp(min(circuit.log_scale, 700.0)):.6g}"
    return Property(
        "normalized", "no", f"all worlds sum to {mass}", "circuit.replace(log_scale=0.0)"
    )


_DECIDED: dict[str, Callable[[Circuit], Property]] = {
    "structured decomposable": _structured,
    "deterministic": _deterministic,
    "normalized": _normalized,
}
"""The other properties of one well-formed circuit."""


def _compatible(circuit: Circuit, other: Circuit) -> Property:
    broken = findings(other)
    if broken:
        why = f"the other circuit is not well-formed: {broken[0].message}"
        return Property("compatible", "no", why, broken[0].help or "")
    found = compatibility(circuit, other)
    if found.holds:
        return Property("compatible", "yes", "products over one scope split it alike")
    if found.culprits is None:
        why = "there are too many splits to compare"
        return Property("compatible", "unknown", why, "share equal nodes first, with 'share'")
    first, second = describe(circuit, found.culprits[0]), describe(other, found.culprits[1])
    return Property(
        "compatible",
        "no",
        f"{first} here, but {second} there",
        "build both over the same region tree",
    )


_QUERIES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("log-likelihood", (), "one pass up"),
    ("marginals, conditionals", (), "one pass up for each"),
    ("log-partition", (), "known: log_scale"),
    ("posterior marginals", (), "one pass up and down, all variables at once"),
    ("sampling", (), "one pass up and down for each batch"),
    ("expectations of leaves", (), "one pass up"),
    ("conditioning", (), "a rewrite, linear in the circuit"),
    ("most probable explanation", ("deterministic",), "one pass up and down, with max for sums"),
    ("entropy", ("deterministic",), "one pass up"),
    ("square, Renyi entropy", ("structured decomposable",), "quadratic in the circuit"),
    ("product, inner product", ("compatible",), "the product of both sizes"),
    (
        "cross-entropy, divergence",
        ("compatible", "deterministic"),
        "the product of both sizes; a cross-entropy needs determinism of the second only",
    ),
)
"""Query, what it needs in addition to smoothness and decomposability, and its cost."""


def _queries(answers: dict[str, Answer]) -> tuple[Query, ...]:
    """Tractability of every query that the properties decide."""
    result: list[Query] = []
    for name, needs, cost in _QUERIES:
        if not answers.keys() >= set(needs):
            continue
        missing = [need for need in needs if answers[need] != "yes"]
        answer: Answer = "yes"
        if missing:
            answer = "no" if any(answers[need] == "no" for need in missing) else "unknown"
        reason = f"needs: {', '.join(missing)}" if missing else "smooth, decomposable"
        result.append(Query(name, answer, "" if missing else cost, reason))
    result.append(
        Query(
            "marginal MAP",
            "no",
            "",
            "NP-hard in general, even on deterministic circuits",
        )
    )
    return tuple(result)
