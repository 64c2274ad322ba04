"""What the estimators share: options, training, densities, pickles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import validate_data

from pccompiler.api import compile
from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Variable
from pccompiler.ir.arrays import Float
from pccompiler.options import as_float, at_least, is_of, shown, whole
from pccompiler.sklearn.columns import Columns, declared_columns, find_columns
from pccompiler.sklearn.state import PRECISION, Stored, restored, stored
from pccompiler.structures.registry import make
from pccompiler.torch_backend import CompiledCircuit, fit_em

Table = Any  # a table that scikit-learn reads: an array, nested lists, a data frame
State = dict[str, Any]  # attributes of any type
Structure = str | Callable[[Sequence[Variable]], Circuit]
RandomState = int | np.random.RandomState | None
Auto = Literal["auto"]
_READ: State = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
_SEEDS = 2**31 - 1


class CircuitEstimator(BaseEstimator):
    """The base of the estimators. `PCDensity` says what its options mean."""

    def __init__(
        self,
        *,
        structure: Structure = "hclt",
        units: int | None = None,
        categorical_features: Auto | ArrayLike = "auto",
        pseudocount: float = 1.0,
        max_iter: int = 100,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.structure = structure
        self.units = units
        self.categorical_features = categorical_features
        self.pseudocount = pseudocount
        self.max_iter = max_iter
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> State:
        state = cast(State, super().__getstate__())
        return {name: _without_torch(value) for name, value in state.items()}

    def __setstate__(self, state: State) -> None:
        super().__setstate__({name: _with_torch(value) for name, value in state.items()})

    def _find_columns(self, x: Float) -> Columns:
        names = getattr(self, "feature_names_in_", None)
        known = None if names is None else names.tolist()
        declared = declared_columns(self.categorical_features, known, x.shape[1])
        return find_columns(x, declared)

    def _train(
        self, columns: Columns, codes: Float, random: np.random.RandomState
    ) -> tuple[CompiledCircuit, int]:
        """A trained model of coded rows, and the number of passes that were made."""
        seed = random.randint(_SEEDS)
        order = random.permutation(len(codes))
        held_out = int(_fraction(self.validation_fraction) * len(codes))
        circuit = self._circuit(columns.variables, codes[order[held_out:]], seed)
        model = compile(circuit, device=self.device, dtype=PRECISION, seed=seed)
        history = fit_em(
            model,
            codes[order[held_out:]],
            codes[order[:held_out]] if held_out else None,
            iterations=whole("max_iter", self.max_iter),
            pseudocount=at_least("pseudocount", self.pseudocount, 0.0),
            patience=whole("n_iter_no_change", self.n_iter_no_change),
            seed=seed,
            progress=bool(self.verbose),
        )
        return model, history.evaluations[-1].step

    def _circuit(self, variables: tuple[Variable, ...], rows: Float, seed: int) -> Circuit:
        if callable(self.structure):
            return self.structure(variables)
        if not is_of(self.structure, str):
            raise OptionError.of(
                "PC822",
                f"structure is {shown(self.structure)}",
                help="give a name, for example 'hclt', or a function of variables",
            )
        width = {} if self.units is None else {"units": whole("units", self.units)}
        return make(self.structure, variables, rows, seed=seed, **width)

    def _checked(self, x: Table) -> Float:
        """Rows for a fitted estimator, shape ``(rows, features)``."""
        found: Any = validate_data(self, x, reset=False, **_READ)
        return np.asarray(found, np.float64)


def training_table(estimator: CircuitEstimator, x: Table) -> Float:
    """Rows for ``fit``, whose number of columns and names the estimator remembers."""
    found: Any = validate_data(estimator, x, **_READ)
    return np.asarray(found, np.float64)


def labelled_table(estimator: CircuitEstimator, x: Table, y: Any) -> tuple[Float, NDArray[Any]]:
    """Like `training_table`, with the class of each row, shape ``(rows,)``."""
    found: Any = validate_data(estimator, x, y, **_READ)
    return np.asarray(found[0], np.float64), found[1]


def random_of(given: RandomState) -> np.random.RandomState:
    """scikit-learn's random state."""
    found: np.random.RandomState = check_random_state(given)
    return found


def seed_from(given: RandomState) -> int:
    """A seed of our own queries."""
    return random_of(given).randint(_SEEDS)


def log_density(model: CompiledCircuit, codes: Float) -> Float:
    """The circuit's log-density of each row, shape ``(rows,)``, in nats."""
    return np.concatenate(list(model.log_likelihood_stream(codes)))


def _fraction(given: object) -> float:
    found = as_float(given)
    if found is None or not 0.0 <= found < 1.0:
        raise OptionError.of(
            "PC302",
            f"validation_fraction is {shown(given)}",
            help="use a number of at least 0 and below 1, for example 0.1",
        )
    return found


def _without_torch(value: object) -> object:
    if isinstance(value, CompiledCircuit):
        return stored(value)
    if isinstance(value, list) and value and isinstance(value[0], CompiledCircuit):
        return [stored(model) for model in value]
    return value


def _with_torch(value: object) -> object:
    if isinstance(value, Stored):
        return restored(value)
    if isinstance(value, list) and value and isinstance(value[0], Stored):
        return [restored(model) for model in value]
    return value
