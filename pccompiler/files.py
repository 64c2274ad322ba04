"""Atomic writes of files and folders, and the errors when they fail.

A temporary name contains the machine and the process that made it, so that leftovers of a dead
process can be distinguished from files that a live one is writing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from pccompiler.errors import FileError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_OLD = "-old"
_TRIES = 100
_living: set[str] = set()
"""Temporary names in use by this process."""


@contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """A temporary path in the folder of ``path``; it replaces ``path`` if the block succeeds.

    Parent folders are created. The temporary name keeps the ending, which some writers depend on.
    Leftovers of killed writers of the same file are removed.

    Raises:
        FileError: If the file cannot be written; the old one is then unchanged.
    """
    with _staged(Path(path), os.replace) as staging:
        yield staging


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path``; it is on disk before it replaces the old file.

    Raises:
        FileError: If that fails.
    """
    with replacing(path) as staging, staging.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(path: str | Path) -> Generator[None]:
    """Turn an `OSError` raised by the block into a `FileError`, if it is about writing ``path``.

    An error that names another file, such as one that the block reads, is not changed.
    """
    try:
        yield
    except OSError as error:
        if not _concerns(error, Path(path)):
            raise
        raise write_failure(path, error) from error


def write_failure(path: str | Path, error: OSError) -> FileError:
    """The error for ``path``, which cannot be written because of ``error``."""
    if error.errno in _FULL:
        code, why, way = "PC440", "no space is left", "free some space, or choose another disk"
    elif error.errno in _FORBIDDEN:
        code, why = "PC441", "that is not permitted, or the disk is read-only"
        way = "choose another folder, or change its permissions"
    else:
        code, why, way = "PC442", error.strerror or str(error), "choose another path"
    failure = FileError.of(
        code,
        f"{path} cannot be written: {why}",
        notes=(f"cause: {error.strerror}",) if error.strerror and error.strerror != why else (),
        help=way,
    )
    failure.errno, failure.strerror, failure.filename = error.errno, error.strerror, str(path)
    return failure


def is_write_failure(error: OSError) -> bool:
    """Whether the system refused to write, for lack of space or permission."""
    return error.errno in (*_FULL, *_FORBIDDEN)


def _concerns(error: OSError, target: Path) -> bool:
    """Whether ``error`` names ``target``, its temporary file, a parent folder, or nothing."""
    if not isinstance(error.filename, str | os.PathLike):
        return True
    named, wanted = Path(error.filename).absolute(), target.absolute()
    if isinstance(error, FileError):
        return wanted.parent in named.parents
    own = named.parent == wanted.parent and _pattern(target).fullmatch(named.name)
    return bool(own) or named == wanted or named in wanted.parents


@contextmanager
def replacing_folder(path: str | Path) -> Generator[Path]:
    """A new, empty folder next to ``path``; it replaces ``path`` if the block succeeds.

    Replacing takes two renames. A process that is killed between them leaves both folders
    under temporary names, which `left_behind` finds; the next writer removes them. If several
    processes write at the same time, one of them wins.

    Raises:
        FileError: If the folder cannot be written; the old one is then unchanged.
    """
    with _staged(Path(path), _swap) as staging:
        staging.mkdir()
        yield staging
        sync_folder(staging)


@contextmanager
def _staged(target: Path, put: Callable[[Path, Path], None]) -> Generator[Path]:
    """A temporary path, which ``put`` moves to ``target`` if the block succeeds."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary(target) as staging:
            yield staging
            put(staging, target)
            sync_folder(target.parent)
        remove_leftovers(target)


def _swap(staging: Path, target: Path) -> None:
    """Replace ``target`` by ``staging``; the old folder survives a failure."""
    replaced: list[Path] = []
    for _ in range(_TRIES):
        replaced.append(_temporary_name(target, _OLD))
        _living.add(replaced[-1].name)
        try:
            with contextlib.suppress(FileNotFoundError):  # absent, or removed by another process
                target.rename(replaced[-1])
            staging.rename(target)
            break
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue  # another process put its own folder there
            if replaced[-1].exists() and not target.exists():
                replaced[-1].rename(target)
            raise
    else:
        raise FileExistsError(errno.EEXIST, "other processes keep replacing it", str(target))
    for path in replaced:
        _remove(path)
        _living.discard(path.name)


def _temporary_name(target: Path, mark: str = "") -> Path:
    """An unused name in the folder of ``target``."""
    maker = f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return target.with_name(f".{target.stem}-{maker}{mark}{target.suffix}")


@contextmanager
def temporary(target: Path) -> Generator[Path]:
    """An unused name in the folder of ``target``; whatever has it at the end is removed."""
    path = _temporary_name(target)
    _living.add(path.name)
    try:
        yield path
    finally:
        _remove(path)
        _living.discard(path.name)


def _pattern(target: Path) -> re.Pattern[str]:
    """Matches this machine's temporary names of ``target``; the group is the process."""
    stem, suffix, mark = re.escape(target.stem), re.escape(target.suffix), re.escape(_OLD)
    return re.compile(rf"\.{stem}-{_host()}-(\d+)-[0-9a-f]{{8}}(?:{mark})?{suffix}")


def left_behind(target: Path) -> list[tuple[Path, bool]]:
    """Temporary files or folders of ``target``, and whether the process that made each is dead.

    Only those of this machine. Those of a live process may vanish at any moment.
    """
    pattern = _pattern(target)
    with contextlib.suppress(OSError):
        matches = [(path, pattern.fullmatch(path.name)) for path in target.parent.iterdir()]
        return [
            (path, path.name not in _living and _is_dead(int(found[1])))
            for path, found in matches
            if found
        ]
    return []


def remove_leftovers(target: Path) -> None:
    """Remove leftovers of dead processes that were writing ``target``."""
    for path, dead in left_behind(target):
        if dead:
            _remove(path)


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` survive a loss of power, if the system supports it."""
    with contextlib.suppress(OSError):  # not all file systems support it
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def _is_dead(process: int) -> bool:
    """Whether no live process has this number. Our own number belonged to an earlier process."""
    if os.name != "posix":  # other systems have no signal that only tests
        return False
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is alive, and belongs to another user
        return False
    return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
