"""Models on the Hugging Face Hub: the files of `pccompiler.save` and a model card, no pickles."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pccompiler.api.compiling import load, save
from pccompiler.errors import CheckpointError, OptionError
from pccompiler.options import shown
from pccompiler.version import __version__

if TYPE_CHECKING:
    import torch

    from pccompiler.ir import Circuit
    from pccompiler.torch_backend import CompiledCircuit

FILES = ("circuit.pcir", "parameters.safetensors", "model.json")
_CARD = "README.md"


def push_to_hub(
    model: CompiledCircuit,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str = "Upload a pccompiler model",
) -> str:
    """Upload a model in one commit, to a repository that is created if there is none.

    A model card is written only if the repository has none, so that yours is kept.

    Args:
        model: Any compiled circuit.
        repo_id: Such as ``"you/nltcs"``.
        private: Whether a new repository is private; by default as your account says.
        token: An access token; by default that of ``hf auth login``.
        commit_message: The first line of the commit.

    Returns:
        The address of the commit.

    Raises:
        OptionError: PC880, if huggingface_hub is not installed; PC881, if the hub refuses, or
            cannot be reached.
        CheckpointError: If parameters are not finite.
    """
    _needs_the_hub()
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="pccompiler", library_version=__version__)
    with TemporaryDirectory() as above:
        folder = save(model, Path(above) / "model")
        with _reported(f"the model cannot be uploaded to {shown(repo_id)}"):
            api.create_repo(repo_id, private=private, exist_ok=True)
            if not api.file_exists(repo_id, _CARD):
                (folder / _CARD).write_text(model_card(model.circuit, repo_id), encoding="utf-8")
            commit = api.upload_folder(
                repo_id=repo_id, folder_path=folder, commit_message=commit_message
            )
    return str(commit.commit_url)


def from_hub(
    repo_id: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    device: str | torch.device | None = None,
) -> CompiledCircuit:
    """Read a model from the hub, or from a folder on this disk, with the checks of `load`.

    Nothing in it is executed: a model is text, safetensors and JSON.

    Args:
        repo_id: Such as ``"you/nltcs"``, or a folder that `save` wrote.
        revision: A branch, a tag or a commit; by default the newest.
        token: An access token, for private repositories; by default that of ``hf auth login``.
        device: As in `compile`.

    Raises:
        OptionError: PC880, if huggingface_hub is not installed; PC881, if there is no such
            repository, or the hub cannot be reached.
        CheckpointError: PC882, if the repository holds no model; other codes as in `load`.
    """
    folder = Path(repo_id)
    if not folder.is_dir():
        folder = _downloaded(str(repo_id), revision, token)
    return load(folder, device=device)


def model_card(circuit: Circuit, repo_id: str) -> str:
    """A model card in Markdown: what the model is over, and how to load it."""
    domains = [variable.domain for variable in circuit.variables]
    kinds = ", ".join(f"{domains.count(d):,} {d}" for d in dict.fromkeys(domains))
    counts = circuit.statistics
    return f"""---
library_name: pccompiler
tags:
- probabilistic-circuit
- density-estimation
---

# {repo_id.rpartition("/")[2]}

A probabilistic circuit over {len(domains):,} variables ({kinds}), with {counts.nodes:,} nodes and
{counts.weight_entries:,} weights and leaf parameters, written by pccompiler {__version__}.

```python
import pccompiler as pc  # pip install 'pccompiler[hub]'

model = pc.from_hub("{repo_id}")
model.sample(5, seed=0)
```

The fingerprint of its structure is `{circuit.fingerprint}`.
"""


def _downloaded(repo_id: str, revision: str | None, token: str | None) -> Path:
    _needs_the_hub()
    from huggingface_hub import snapshot_download

    with _reported(f"there is no folder {shown(repo_id)}, and it cannot be read from the hub"):
        found = snapshot_download(
            repo_id, revision=revision, token=token, allow_patterns=list(FILES)
        )
    lacking = [name for name in FILES if not (Path(found) / name).exists()]
    if lacking:
        raise CheckpointError.of(
            "PC882",
            f"{repo_id!r} on the hub is not a pccompiler model: it lacks {', '.join(lacking)}",
            help="give a repository that push_to_hub wrote",
        )
    return Path(found)


@contextmanager
def _reported(what: str) -> Generator[None]:
    """Report errors of the hub, the network and names as user errors."""
    # That of httpx or httpx2, whichever this huggingface_hub runs on.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage]

    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        raise OptionError.of(
            "PC881",
            what,
            notes=[f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"],
            help="check the name, the network, and the token (hf auth login)",
        ) from error


def _needs_the_hub() -> None:
    if find_spec("huggingface_hub") is None:
        raise OptionError.of(
            "PC880",
            "models on the hub need huggingface_hub, which is not installed",
            help="pip install 'pccompiler[hub]'",
        )
