"""What mkdocs does beyond its configuration: results of benchmarks become files of the site.

Pages link to ``../benchmarks/results/...``, where a reader of the repository finds them. These
files lie outside ``docs``; the site gets a copy under ``results``, and its links point there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the documentation's own environment has it
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
LINK = re.compile(r"\]\((?:\.\./)+benchmarks/results(?:/([\w.]+))?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each result file."""
    from mkdocs.structure.files import File

    for path in sorted(RESULTS.iterdir()):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to result files point into the site."""
    up = "../" * page.file.src_uri.count("/")

    def link(found: re.Match[str]) -> str:
        return f"]({up}results/{found[1]})" if found[1] else f"]({up}benchmarks.md)"

    return LINK.sub(link, markdown)
