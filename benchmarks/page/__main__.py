"""Writes docs/benchmarks.md and docs/images/benchmarks from the committed results.

    python -m benchmarks.page

Equal results give equal files. A missing result file is reported with the script that makes it.
"""

from __future__ import annotations

import sys

from benchmarks.page.pages import DOCS, write
from benchmarks.page.results import Results, ResultsError

if __name__ == "__main__":
    try:
        write(DOCS, Results())
    except ResultsError as missing:
        sys.exit(f"error: {missing}")
