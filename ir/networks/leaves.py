"""Leaves of a NetworkX graph: variables declared or inferred, families, parameters."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pccompiler.errors import Diagnostic
from pccompiler.ir.arrays import Float
from pccompiler.ir.build.node_list import literal
from pccompiler.ir.families.base import Family, find
from pccompiler.ir.kinds import Kind
from pccompiler.ir.names import is_name
from pccompiler.ir.networks.nodes import Drawn
from pccompiler.ir.variables import Variable, binary, categorical, count, real
from pccompiler.limits import current

LITERAL = "literal"


class Use(NamedTuple):
    """The attributes of a leaf. ``family`` is `Family.INDICATOR` for a literal."""

    node: Drawn
    variable: str | int
    family: Family
    values: Float | None
    state: int | None


class Leaves:
    """Reads leaves, and collects errors in them."""

    def __init__(self, declared: Any, location: str) -> None:  # an attribute of the graph
        self.declared = declared
        self.location = location
        self.findings: list[Diagnostic] = []
        self.variables: list[Variable] = []
        self.index: dict[str, int] = {}

    def read(self, nodes: Iterable[Drawn]) -> list[Use]:
        """Read the leaves among ``nodes``; afterwards the variables are known."""
        leaves = [node for node in nodes if node.kind == Kind.INPUT]
        uses = [use for node in leaves for use in self._read(node)]
        if not self.findings and self._listed():
            self._declare(uses)
        if not self.findings:
            for use in uses:
                self._check(use)
        return uses

    def place(self, variable: str | int) -> int:
        """The column of a variable."""
        return variable if isinstance(variable, int) else self.index[variable]

    def parameters(self, use: Use) -> tuple[Family, Float | None]:
        """The family and parameters as stored in the circuit."""
        if use.state is None:
            return use.family, use.values
        return literal(self.variables[self.place(use.variable)], use.state)

    def _find(self, code: str, message: str, help: str) -> None:
        found = Diagnostic(code=code, message=message, location=self.location, help=help)
        self.findings.append(found)

    def _read(self, node: Drawn) -> Iterator[Use]:
        given = node.attributes
        variable, family = _index(given.get("variable")), _family(given)
        if not isinstance(variable, str | int):
            said = f"has variable {variable!r}" if "variable" in given else "has no variable"
            self._find("PC389", f"leaf {node.key!r} {said}", "give variable=, a name or a column")
        elif family is None:
            said = f"has family {given['family']!r}" if "family" in given else "has no family"
            names = ", ".join([LITERAL, *(f.keyword for f in Family if f.parameters)])
            self._find("PC390", f"leaf {node.key!r} {said}", f"give family=, one of: {names}")
        elif family == Family.INDICATOR:
            state = _index(given.get("value"))
            if isinstance(state, int) and state >= 0:
                yield Use(node, variable, family, None, state)
            else:
                self._find(
                    "PC391",
                    f"literal {node.key!r} has value {given.get('value')!r}",
                    "give value=, the state of the variable for which the leaf is 1",
                )
        else:
            yield from self._distribution(node, variable, family)

    def _distribution(self, node: Drawn, variable: str | int, family: Family) -> Iterator[Use]:
        given = node.attributes.get("parameters", node.attributes.get("p"))
        try:
            values = None if given is None else np.asarray(given, np.float64).reshape(1, -1)
        except (TypeError, ValueError, OverflowError):
            self._find("PC391", f"leaf {node.key!r} has parameters {given!r}", "give numbers")
            return
        yield Use(node, variable, family, values, None)

    def _listed(self) -> bool:
        """Whether the variables are undeclared, or a list of variables and names."""
        declared = self.declared
        listed = declared is None or (
            isinstance(declared, Sequence)
            and not isinstance(declared, str)
            and all(isinstance(entry, str | Variable) for entry in declared)
        )
        if not listed:
            what = f"the variables are {declared!r}"
            self._find("PC389", what, "give a list of names or Variable objects, in order")
        return listed

    def _declare(self, uses: Sequence[Use]) -> None:
        """Variables as declared, otherwise in the order of the leaves."""
        of: dict[str | int, list[Use]] = {}
        for use in uses:
            of.setdefault(use.variable, []).append(use)
        declared: Sequence[Variable | str] = self.declared
        if self.declared is None:
            declared = self._names(of)
        if self.findings:
            return
        for position, entry in enumerate(declared):
            name = entry if isinstance(entry, str) else entry.name
            self._name(name)
            leaves = [*of.get(name, ()), *of.get(position, ())]
            self.variables.append(_domain(entry, leaves) if isinstance(entry, str) else entry)
        for variable, leaves in of.items():
            if self._unknown(variable):
                known = ", ".join(v.name for v in self.variables)
                self._find(
                    "PC389",
                    f"leaf {leaves[0].node.key!r} has variable {variable!r}, which is not declared",
                    f"declare it, or use one of: {known}",
                )

    def _unknown(self, variable: str | int) -> bool:
        if isinstance(variable, str):
            return variable not in self.index
        return not 0 <= variable < len(self.variables)

    def _name(self, name: str) -> None:
        if not is_name(name) or name.isdigit() or name in self.index:
            why = "is declared twice" if name in self.index else "cannot be written in a circuit"
            self._find("PC389", f"variable {name!r} {why}", "rename it")
        self.index[name] = len(self.index)

    def _names(self, of: Mapping[str | int, list[Use]]) -> list[str]:
        numbers = [v for v in of if isinstance(v, int)]
        if not numbers:
            return [str(v) for v in of]
        if len(numbers) < len(of):
            self._find(
                "PC389",
                "some leaves name their variables, and some number them",
                "declare the variables, in order: graph.graph['variables'] = [...]",
            )
        current().check("variables", max(numbers) + 1, self.location)
        return [f"x{i}" for i in range(max(numbers) + 1)]

    def _check(self, use: Use) -> None:
        variable = self.variables[self.place(use.variable)]
        leaf = f"leaf {use.node.key!r}"
        misfit = use.family.misfit(variable)
        if misfit is not None:
            self._find(
                "PC390",
                f"{leaf} is {_word(use)} over {variable.name!r}, which is {variable}",
                f"{misfit}; if the graph does not determine its domain, declare it: "
                "graph.graph['variables'] = [...]",
            )
        elif use.state is not None and use.state >= variable.cardinality:
            self._find(
                "PC391",
                f"{leaf} uses state {use.state} of {variable.name!r}, which is {variable}",
                f"use a state from 0 to {variable.cardinality - 1}",
            )
        elif use.values is not None and use.values.shape[1] != use.family.columns(variable):
            self._find(
                "PC391",
                f"{leaf} is {_word(use)} with {use.values.shape[1]} parameters",
                f"give {use.family.columns(variable)}",
            )


def _index(value: object) -> object:
    """Integers of all types as ``int``; anything else unchanged."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # raises for non-integers
    except TypeError:
        return value


def _family(given: Mapping[str, Any]) -> Family | None:
    """The given family; by default ``value`` means a literal, and ``p`` a Bernoulli leaf."""
    if "family" in given:
        family = given["family"]
        word = family.keyword if isinstance(family, Family) else str(family).lower()
        return Family.INDICATOR if word == LITERAL else find(word)
    if "value" in given:
        return Family.INDICATOR
    return Family.BERNOULLI if "p" in given else None


def _word(use: Use) -> str:
    return "a literal" if use.state is not None else use.family.keyword


def _domain(name: str, uses: Sequence[Use]) -> Variable:
    """The smallest domain that fits the leaves."""
    for domain, make in (("real", real), ("count", count)):
        if uses and all(use.family.domains == (domain,) for use in uses):
            return make(name)
    states = [2]
    states += [use.state + 1 for use in uses if use.state is not None]
    states += [use.values.shape[1] for use in uses if use.family.simplex and use.values is not None]
    return binary(name) if max(states) == 2 else categorical(name, max(states))
