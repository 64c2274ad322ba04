"""Estimators for scikit-learn: densities, outliers, classes and missing values.

All take tables of numbers with NaN where a value is missing, find out which columns are categories,
and can be cloned, pickled, searched and put into pipelines (docs/howto/scikit-learn.md).
"""

from importlib.util import find_spec

from pccompiler.sklearn.missing import MissingScikitLearnError

if find_spec("sklearn") is None:
    raise MissingScikitLearnError.of(
        "PC820",
        "pccompiler.sklearn needs scikit-learn, which is not installed",
        help="pip install 'pccompiler[sklearn]'",
    )

from pccompiler.sklearn.classifier import PCClassifier
from pccompiler.sklearn.density import PCDensity
from pccompiler.sklearn.imputer import PCImputer
from pccompiler.sklearn.outliers import PCOutlierDetector

__all__ = ["PCClassifier", "PCDensity", "PCImputer", "PCOutlierDetector"]
