"""Models on the hub: a fake one in memory, whose downloads are links as in the real cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

import pccompiler as pc
from pccompiler.api import hub
from pccompiler.errors import CheckpointError, OptionError

Golden = Callable[[str], None]


class FakeHub:
    """The calls of `huggingface_hub` that we make, on folders."""

    def __init__(self, root: Path) -> None:
        self.root, self.said, self.private = root, list[str](), list[bool | None]()

    def __call__(self, **_: Any) -> FakeHub:
        return self

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
        assert exist_ok
        self.private.append(private)
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)

    def file_exists(self, repo_id: str, filename: str) -> bool:
        return (self.root / repo_id / filename).exists()

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> object:
        copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        self.said.append(commit_message)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def snapshot_download(self, repo_id: str, *, allow_patterns: list[str], **_: Any) -> str:
        if not (self.root / repo_id).is_dir():
            raise OfflineModeIsEnabled("no route to the hub\nand more")
        snapshot = self.root / "snapshots" / repo_id
        snapshot.mkdir(parents=True)
        for file in (self.root / repo_id).iterdir():
            if file.name in allow_patterns:
                (snapshot / file.name).symlink_to(file)
        return str(snapshot)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    made = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def model() -> pc.CompiledCircuit:
    variables = [pc.binary("rain"), pc.categorical("wind", 3), pc.real("heat")]
    return pc.compile(pc.naive_bayes_mixture(variables, 2), seed=0)


ROWS = [[1.0, 2.0, 0.5], [float("nan"), 0.0, -1.0]]


def test_there_and_back(fake: FakeHub) -> None:
    before = model()
    address = pc.push_to_hub(before, "me/garden", private=True)
    assert address == "https://hub/me/garden/commit/1"
    assert fake.private == [True]
    after = pc.from_hub("me/garden")
    assert torch.equal(after.log_likelihood(ROWS), before.log_likelihood(ROWS))


def test_nothing_but_text_safetensors_and_json_is_uploaded(fake: FakeHub) -> None:
    pc.push_to_hub(model(), "me/garden")
    files = sorted(file.name for file in (fake.root / "me/garden").iterdir())
    assert files == sorted([*hub.FILES, "README.md"])


def test_the_card(golden: Golden) -> None:
    text = hub.model_card(model().circuit, "me/garden").replace(pc.__version__, "VERSION")
    golden(text)


def test_a_card_of_ones_own_is_kept(fake: FakeHub) -> None:
    pc.push_to_hub(model(), "me/garden")
    card = fake.root / "me/garden/README.md"
    card.write_text("my own words")
    pc.push_to_hub(model(), "me/garden", commit_message="again")
    assert card.read_text() == "my own words"
    assert fake.said[-1] == "again"


def test_a_local_folder_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda _: None)
    before = model()
    after = pc.from_hub(pc.save(before, tmp_path / "m"))
    assert torch.equal(after.log_likelihood(ROWS), before.log_likelihood(ROWS))


def test_refusals(fake: FakeHub, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    (fake.root / "me/other").mkdir(parents=True)
    messages: list[str] = []
    with pytest.raises(CheckpointError) as no_model:
        pc.from_hub("me/other")
    messages.append(str(no_model.value))
    with pytest.raises(OptionError) as unknown:
        pc.from_hub("me/nothing")
    messages.append(str(unknown.value))
    monkeypatch.setattr(fake, "create_repo", refuse)
    with pytest.raises(OptionError) as refused:
        pc.push_to_hub(model(), "not a name")
    messages.append(str(refused.value))
    monkeypatch.setattr(hub, "find_spec", lambda _: None)
    with pytest.raises(OptionError) as missing:
        pc.push_to_hub(model(), "me/garden")
    messages.append(str(missing.value))
    golden("\n".join(messages))


def test_a_lost_connection_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", disconnected)
    with pytest.raises(OptionError, match="PC881"):
        pc.from_hub("me/garden")


def disconnected(_: str, **__: Any) -> None:
    errors = vars(huggingface_hub.errors)
    raise errors["HTTPError"]("connection reset")


def refuse(name: str, **_: Any) -> None:
    raise HFValidationError(f"Repo id {name!r} has a blank")
