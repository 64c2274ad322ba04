"""Compilers that are missing, strange or broken: torch does the work, and one warning says so."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import pccompiler as pc
from pccompiler.torch_backend.leaves.lookup import _SOURCE as LOOKUP
from pccompiler.torch_backend.runtime import c_compiler
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.weights.softmax_cpu import _SOURCE as SOFTMAX
from pccompiler.torch_backend.weights.softmax_cpu import lifted_softmax

pytestmark = pytest.mark.cpu

CC = shutil.which("cc")
NEEDS_CC = pytest.mark.skipif(CC is None, reason="no C compiler")
OUT = 'for last; do [ "$before" = -o ] && out=$last; before=$last; done\n'
Fake = Callable[[str], Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Makes a compiler from the lines of a shell script, and names it in CC."""

    def write(script: str) -> Path:
        path = tmp_path / "fake-cc"
        path.write_text(script)
        path.chmod(0o700)
        monkeypatch.setenv("CC", str(path))
        return path

    return write


def answers(caplog: pytest.LogCaptureFixture) -> tuple[bool, list[str]]:
    """Whether trees run in C, and the warnings; the answers are right in any case."""
    circuit = pc.rat_spn(6, 2, 3, seed=0)
    exact = pc.compile(circuit, dtype="float64")
    x = torch.randint(0, 2, (5, 6)).double()
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        models = [pc.compile(circuit) for _ in range(2)]
        for model in models:
            found = model.log_likelihood(x).double()
            torch.testing.assert_close(found, exact.log_likelihood(x), rtol=1e-5, atol=1e-5)
            lifted_softmax(torch.zeros(3, 4), 0.0)
    return models[0].kernels is not None, caplog.messages


BROKEN = {
    "nothing": ("#!/bin/sh\n", "wrote nothing"),
    "empty": (f'#!/bin/sh\n{OUT}: > "$out"\n', "wrote nothing"),
    "folder": (f'#!/bin/sh\n{OUT}mkdir "$out"\n', "wrote nothing"),
    "text": (f'#!/bin/sh\n{OUT}echo no library > "$out"\n', "does not load"),
    "cut": (f'#!/bin/sh\n{OUT}"{CC}" "$@" && truncate -s 9000 "$out"\n', "is truncated"),
    "other": (
        f'#!/bin/sh\n{OUT}exec "{CC}" -shared -fPIC -x c /dev/null -o "$out"\n',
        "lacks the function",
    ),
    "format": ("\x01\x02\x03", "does not run: Exec format error"),
    "interpreter": ("#!/no/such/shell\n", "does not run: No such file or directory"),
    "bytes": ("#!/bin/sh\nprintf 'a\\377\\376b' >&2\nexit 3\n", "failed with status 3: a��b"),
    "killed": ("#!/bin/sh\nkill -9 $$\n", "failed with status -9"),
}


@NEEDS_CC
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_compilers(
    kind: str, fresh: Path, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    script, why = BROKEN[kind]
    fake(script)
    in_c, said = answers(caplog)
    assert not in_c
    assert len(said) == 1
    assert said[0].startswith("without kernels in C, plain PyTorch runs, several times slower: ")
    assert why in said[0]
    assert not fresh.exists()  # a library that does not load is not kept


@pytest.mark.parametrize("name", ["no-such-compiler", "/nonexistent", "'unbalanced", '"" -O2'])
def test_no_compiler(
    name: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", name)
    in_c, said = answers(caplog)
    assert not in_c
    assert len(said) == 1


def test_a_compiler_that_hangs(
    fresh: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    note = fresh.parents[2] / "pid"
    fake(f'#!/bin/sh\nsleep 300 &\necho $! >> "{note}"\nwait\n')
    monkeypatch.setattr(c_compiler, "_SECONDS", 1.0)
    in_c, said = answers(caplog)
    assert not in_c
    assert len(said) == 1
    assert "timed out: stopped after 1 seconds" in said[0]
    (child,) = note.read_text().split()  # one attempt, though three files are to be compiled
    deadline = time.monotonic() + 20
    while alive(int(child)):
        assert time.monotonic() < deadline, "the compiler's child lives on"
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


@NEEDS_CC
def test_a_compiler_that_leaves_a_server_behind(fresh: Path, fake: Fake) -> None:
    note = fresh.parents[2] / "pid"
    fake(f'#!/bin/sh\nsleep 300 &\necho $! >> "{note}"\nexec "{CC}" "$@"\n')
    start = time.monotonic()
    try:
        c_compiler.load_c(LOOKUP, ())
        assert time.monotonic() - start < 200
    finally:
        os.kill(int(note.read_text()), 9)


@NEEDS_CC
@pytest.mark.parametrize("flags", ["-O2", "-O1 '-DTEXT=\"two words\"'"])
def test_a_compiler_behind_another_with_flags(
    flags: str,
    fresh: Path,
    fake: Fake,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    note = fresh.parents[2] / "arguments"
    path = fake(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{note}"\nexec "$@"\n')
    monkeypatch.setenv("CC", f"{path} {CC} {flags}")
    in_c, said = answers(caplog)
    assert in_c
    assert said == []
    given = note.read_text().splitlines()
    assert given[0] == CC
    assert given[1] == flags.split()[0]
    assert ('-DTEXT="two words"' in given) == ("TEXT" in flags)


@NEEDS_CC
def test_a_compiler_without_openmp(
    fresh: Path, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake(f'#!/bin/sh\ncase "$*" in *-fopenmp*) echo unknown >&2; exit 1;; esac\nexec "{CC}" "$@"\n')
    in_c, said = answers(caplog)
    assert in_c
    assert len(said) == 1
    assert "run in one thread" in said[0]


@NEEDS_CC
def test_an_update_of_the_compiler_compiles_anew(fresh: Path, fake: Fake) -> None:
    script = f'#!/bin/sh\nexec "{CC}" "$@"\n'
    for number, comment in enumerate(("", "", "# better now\n")):
        fake(script + comment) if number != 1 else None
        c_compiler._tried.cache_clear()
        c_compiler.load_c(LOOKUP, ())
        assert len(list(fresh.iterdir())) == (1 if number < 2 else 2)


@NEEDS_CC
def test_a_kept_library_that_does_not_load_is_compiled_again(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c_compiler.load_c(LOOKUP, ())
    (kept,) = fresh.iterdir()
    from pccompiler.torch_backend.runtime.kernel_cache import fetch, keep

    good = fetch(kept.name)
    keep(kept.name, b"no library")
    c_compiler._tried.cache_clear()
    c_compiler.load_c(LOOKUP, ())
    assert good is not None
    assert fetch(kept.name) != b"no library"


@NEEDS_CC
@pytest.mark.parametrize("memory", [True, False])
def test_nothing_is_left_in_the_temporary_folder(
    memory: bool, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    dead = tmp_path / "temporary" / "pccompiler-compiling-dead"
    dead.mkdir(parents=True)
    (dead / "library.so").touch()
    os.utime(dead, (0, 0))
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/none")
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    library = c_compiler.load_c(LOOKUP, ())
    assert library.look_up
    monkeypatch.setenv("CC", "false")
    with pytest.raises(KernelError, match="failed with status 1"):
        c_compiler.load_c(LOOKUP, ())
    assert list((tmp_path / "temporary").iterdir()) == []


@NEEDS_CC
def test_libraries_do_not_replace_one_another(fresh: Path) -> None:
    """Their file descriptors have the same number, and the loader compares names."""
    first, second = (c_compiler.load_c(source, ()) for source in (LOOKUP, SOFTMAX))
    assert hasattr(first, "look_up")
    assert hasattr(second, "short_up")
