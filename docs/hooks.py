"""What mkdocs does beyond its configuration: results of benchmarks and examples join the site.

Pages link to ``../benchmarks/results/...`` and ``../examples/...``, where a reader of the
repository finds them. These files lie outside ``docs``; the site gets a copy of each result under
``results``, and a page made of each example under ``examples``, and its links point there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the documentation's own environment has it
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
EXAMPLES = ROOT / "examples"
PICTURES = ROOT / "docs" / "images" / "examples"
LINK = re.compile(r"\]\((?:\.\./)+benchmarks/results(?:/([\w.]+))?\)")
EXAMPLE_LINK = re.compile(r"\]\((?:\.\./)+examples/(\w+)\.py\)")
CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each result file, and a page for each example."""
    from mkdocs.structure.files import File, InclusionLevel

    for path in sorted(RESULTS.iterdir()):
        files.append(File.generated(config, f"results/{path.name}", abs_src_path=str(path)))
    for path in sorted(EXAMPLES.glob("*.py")):
        name, content = f"examples/{path.stem}.md", page_of(path)
        level = InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, name, content=content, inclusion=level))
    return files


def page_of(script: Path) -> str:
    """An example as Markdown: the text and the code of its cells, and its picture."""
    _, *cells = CELL.split(script.read_text())
    parts = [
        _text(body) if "[markdown]" in kind else f"```python\n{body.strip()}\n```"
        for kind, body in zip(cells[::2], cells[1::2], strict=True)
    ]
    if (PICTURES / f"{script.stem}.png").exists():
        parts.append(f"![What it draws](../images/examples/{script.stem}.png)")
    return "\n\n".join([*parts, f"This page is `examples/{script.name}`.\n"])


def _text(body: str) -> str:
    """A cell of text, which is a string or a comment."""
    body = body.strip()
    if body.startswith('"""'):
        return body.strip('"').strip()
    return re.sub("^# ?", "", body, flags=re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to result files and examples point into the site."""
    up = "../" * page.file.src_uri.count("/")

    def link(found: re.Match[str]) -> str:
        return f"]({up}results/{found[1]})" if found[1] else f"]({up}benchmarks.md)"

    return EXAMPLE_LINK.sub(rf"]({up}examples/\1.md)", LINK.sub(link, markdown))
