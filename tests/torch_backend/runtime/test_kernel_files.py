"""The cache of compiled kernels: only complete files of our own count."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pccompiler.torch_backend.runtime.kernel_cache import (
    cache_folder,
    compiled,
    fetch,
    file_name,
    keep,
)

CODE = bytes(range(256)) * 20
NAME = file_name(["source"], ".so")
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners are Unix's"),
]


def made_again(content: str = "source") -> bool:
    """Whether the code had to be compiled again; the result is right in any case."""
    calls: list[int] = []

    def make() -> bytes:
        calls.append(1)
        return CODE

    assert compiled([content], ".so", make) == CODE
    return bool(calls)


def test_code_is_kept_for_its_owner_alone(fresh: Path) -> None:
    before = os.umask(0)  # the worst case
    try:
        assert made_again()
    finally:
        os.umask(before)
    assert not made_again()
    assert fresh.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in fresh.iterdir()] == [NAME]
    assert (fresh / NAME).stat().st_mode & 0o777 == 0o600


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def rename(path: Path) -> None:
    keep("other", CODE[::-1])
    path.with_name("other").replace(path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        rename,
        link,
        fifo,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(CODE),
        lambda path: path.write_bytes(b"\x7fELF garbage"),
        lambda path: path.chmod(0o620),
        lambda path: path.chmod(0o602),
    ],
    ids=["cut", "flip", "rename", "link", "fifo", "empty", "bare", "garbage", "group", "others"],
)
def test_what_cannot_be_trusted_is_made_again(
    damage: Callable[[Path], None], fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made_again()
    damage(fresh / NAME)
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        assert made_again()
    assert len(caplog.records) == 1
    assert "compiled again" in caplog.text
    assert not made_again()
    assert (fresh / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_open_to_others_is_not_used(
    mode: int, fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made_again()
    fresh.chmod(mode)
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        assert made_again()
        assert made_again("other")
    assert [path.name for path in fresh.iterdir()] == [NAME]
    assert caplog.messages == [
        f"each process compiles its own kernels, since {fresh} can be written to by others; set "
        "XDG_CACHE_HOME to a folder that only you can write to"
    ]


def test_what_belongs_to_somebody_else_is_not_used(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made_again()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        assert made_again()
    assert "belongs to another user" in caplog.text


@pytest.mark.parametrize(
    ("cache", "home"),
    [("", ""), ("relative", ""), ("", "relative"), ("/dev/null/x", ""), ("", "/dev/null")],
)
def test_without_a_folder_each_process_compiles(
    cache: str,
    home: str,
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    monkeypatch.setenv("HOME", home)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        assert made_again()
        assert made_again()
    assert list((tmp_path / "here").iterdir()) == []
    assert len(caplog.records) == 1


def test_without_a_home_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() is None


def test_what_dead_processes_left_is_removed(fresh: Path) -> None:
    made_again()
    for name in (".writing-old", ".writing-new"):
        (fresh / name).write_bytes(b"half")
    os.utime(fresh / ".writing-old", (0, 0))
    made_again("other")
    assert {path.name for path in fresh.iterdir()} == {
        NAME,
        file_name(["other"], ".so"),
        ".writing-new",
    }


def test_a_place_that_is_taken_is_no_error(fresh: Path) -> None:
    (fresh / NAME).mkdir(parents=True)
    assert made_again()
    assert made_again()
    assert [path.name for path in fresh.iterdir()] == [NAME]  # and no partial files


def test_many_writers_at_once(fresh: Path) -> None:
    seen: set[bytes | None] = set()

    def work() -> None:
        for _ in range(20):
            keep(NAME, CODE)
            seen.add(fetch(NAME))

    writers = [threading.Thread(target=work) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert seen == {CODE}
    assert [path.name for path in fresh.iterdir()] == [NAME]
