"""Standard data sets with the paper's results on them, and files of your own.

The twenty binary data sets, the Amazon Baby Registries, further binary sets from DEBD, pictures of
digits, and the paper's hand-designed set::

    from pccompiler import datasets

    nltcs = datasets.load("nltcs")
    nltcs.train                             # uint8, shape (16181, 16)
    datasets.info("nltcs").paper.hyperspn   # -6.01 nats
"""

from pccompiler.datasets.catalogue import info, names
from pccompiler.datasets.files import load_file
from pccompiler.datasets.generated import hand_designed
from pccompiler.datasets.loading import digits, load
from pccompiler.datasets.records import (
    Dataset,
    DatasetInfo,
    PaperFigures,
    Splits,
    Table,
)
from pccompiler.datasets.splitting import split

__all__ = [
    "Dataset",
    "DatasetInfo",
    "PaperFigures",
    "Splits",
    "Table",
    "digits",
    "hand_designed",
    "info",
    "load",
    "load_file",
    "names",
    "split",
]
