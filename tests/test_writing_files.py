"""Writers of files: whole or not at all, coded errors, nothing left of dead processes."""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pccompiler as pc
from pccompiler import files, plot
from pccompiler.bench import report
from pccompiler.commands.score import write_scores
from pccompiler.commands.support import write_lines
from pccompiler.datasets import download, info
from pccompiler.drawing import draw
from pccompiler.errors import ExportError, FileError, PCCompilerError
from pccompiler.ir import write_circuit
from pccompiler.passes.analysis.vtrees.vtree import Vtree
from pccompiler.torch_backend import Evaluation, History

Golden = Callable[[str], None]


def _history() -> History:
    step = Evaluation(step=1, train=-1.0, valid=-1.0, seconds=0.1)
    return History(evaluations=[step], best_step=1, best_valid=-1.0)


def _circuit() -> pc.Circuit:
    return pc.compile(pc.naive_bayes_mixture(3, 2)).trained_circuit()


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "save": ("model", lambda path: pc.save(pc.compile(pc.naive_bayes_mixture(3, 2)), path)),
    "export": (
        "model.onnx",
        lambda path: pc.export_onnx(pc.compile(pc.naive_bayes_mixture(3, 2)), path),
    ),
    "plot": ("curve.png", lambda path: plot.history(_history(), path)),
    "draw": ("picture.svg", lambda path: draw(_circuit(), path)),
    "text": ("c.pcir", lambda path: write_circuit(_circuit(), path)),
    "weights": ("c.pcir", lambda path: write_circuit(_circuit(), path, weights="file")),
    "vtree": ("v.vtree", lambda path: Vtree.from_text("vtree 1\nL 0 1\n").write(path)),
    "lines": ("lines.txt", lambda path: write_lines(path, ["1", "2"])),
    "scores.npy": ("s.npy", lambda path: write_scores(path, iter([np.zeros(9)]))),
    "scores.csv": ("s.csv", lambda path: write_scores(path, iter([np.zeros(9)]))),
    "bench": ("bench.jsonl", lambda path: report.write(path, [{"case": "x"}])),
}


@contextmanager
def no_space() -> Generator[None]:
    """No file can grow: as on a full disk, but without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(folder: Path) -> Generator[None]:
    """Nothing can be made below ``folder``; for root too, whom permissions do not stop."""

    def guard(real: Any, writes: Callable[..., bool]) -> Any:  # of any function of a path
        def guarded(path: Any, *args: Any, **kwargs: Any) -> Any:
            known = isinstance(path, str | Path) and folder in Path(path).absolute().parents
            if known and writes(*args, **kwargs):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return real(path, *args, **kwargs)

        return guarded

    with pytest.MonkeyPatch.context() as patch:
        by_mode = guard(builtins.open, lambda mode="r", *_, **__: "r" not in mode)
        patch.setattr(builtins, "open", by_mode)
        patch.setattr(io, "open", by_mode)
        patch.setattr(os, "open", guard(os.open, lambda flags, *_, **__: bool(flags & os.O_CREAT)))
        patch.setattr(os, "mkdir", guard(os.mkdir, lambda *_, **__: True))
        yield


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_every_writer_says_why_it_cannot_write(tmp_path: Path, name: str, trouble: str) -> None:
    file, write = WRITERS[name]
    write(tmp_path / file)
    before = contents(tmp_path)
    troubled = no_space() if trouble == "full" else read_only(tmp_path)
    with troubled, pytest.raises(PCCompilerError) as caught:
        write(tmp_path / file)
    text = str(caught.value)
    if name == "export":
        assert isinstance(caught.value, ExportError)
        assert "PC609" in text
    else:
        assert isinstance(caught.value, FileError)
        assert isinstance(caught.value, OSError)
        assert ("PC440" if trouble == "full" else "PC441") in text
    named = tmp_path / ("c.safetensors" if name == "weights" else file)
    assert str(named) in text
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        model = pc.compile(pc.naive_bayes_mixture(3, 2))
        pc.save(model, disk / "m")
        before = contents(disk)
        with pytest.raises(FileError, match="PC440") as caught:
            pc.save(pc.compile(pc.naive_bayes_mixture(300, 40)), disk / "m")
        assert caught.value.errno == errno.ENOSPC
        assert contents(disk) == before
        pc.load(disk / "m")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_download_that_finds_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(url: str, folder: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "_retrieve", full)
    with pytest.raises(FileError, match="PC440"):
        download.fetch(info("nltcs"), tmp_path / "cache")


def test_messages(tmp_path: Path, golden: Golden) -> None:
    messages: list[str] = []
    for number in (errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG):
        error = OSError(number, os.strerror(number))
        messages.append(str(files.write_failure("out/model", error)))
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError) as caught:
        files.write_bytes(tmp_path / "folder", b"")
    messages.append(str(caught.value).replace(str(tmp_path), "DIR"))
    golden("\n".join(messages))


def test_an_error_of_what_the_block_reads_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, files.replacing(tmp_path / "out.txt"):
        (tmp_path / "input.txt").read_text()
    assert not isinstance(caught.value, FileError)


def test_what_dead_writers_left_is_removed_and_the_living_are_left_alone(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        mine = files._temporary_name(tmp_path / "a.txt")
        for process in (child.pid, _unused_process()):
            name = mine.name.replace(f"-{os.getpid()}-", f"-{process}-")
            (tmp_path / name).write_text("half")
        (tmp_path / ".a-notes.txt").write_text("the user's")
        files.write_bytes(tmp_path / "a.txt", b"new")
        names = {path.name for path in tmp_path.iterdir()}
        assert len(names) == 3
        assert {"a.txt", ".a-notes.txt"} < names
        assert any(f"-{child.pid}-" in name for name in names)
    finally:
        child.kill()
        child.wait()
    files.write_bytes(tmp_path / "a.txt", b"newer")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", ".a-notes.txt"}


def _unused_process() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid
