"""Peers: other packages timed on the same circuits, each in its own process and Python."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pccompiler.bench.case import Case
from pccompiler.errors import OptionError, PCCompilerError

KNOWN = ("cirkit", "hyperspn", "pgmpy", "plain-torch", "pyjuice", "simple-einet", "spflow")
"""Peers that a script of the package times."""
SCRIPT = Path(__file__).parent / "peers" / "run.py"
PYTHONS = ("bin/python", ".venv/bin/python", "venv/bin/python", "Scripts/python.exe")
REPEATS = 20
TIMEOUT = 900.0
"""Time limit of a peer for one circuit and batch, in seconds."""
LINES = 4
"""Number of a failed peer's last lines of output that are reported."""

Answer = dict[str, Any]  # JSON values, hence ``Any``


class PeerError(PCCompilerError):
    """A peer could not be started, or did not answer (codes PC782 to PC785)."""


@dataclass(frozen=True)
class Peer:
    """A program that times circuits.

    Attributes:
        name: The name that the user gave.
        command: The words of the command; options follow.
        folder: A checkout to import from.
    """

    name: str
    command: tuple[str, ...]
    folder: Path | None = None


def parse(text: str) -> Peer:
    """A peer from ``NAME=VALUE``.

    For peers with a built-in script, the value is a Python, a virtual environment or a checkout;
    otherwise a command that follows the protocol (docs/howto/bench.md).

    Raises:
        OptionError: If the text is none of these (PC781), or it names something missing (PC782).
    """
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise OptionError.of(
            "PC781",
            f"--peer {text!r} is not NAME=VALUE",
            help="for example cirkit=/path/to/bin/python, or mine='python3 time_mine.py'",
        )
    path = Path(value).expanduser()
    if path.is_dir():
        return _of_folder(name, path)
    if path.name.startswith("python") and name in KNOWN:
        if shutil.which(path) is None:
            raise _missing(name, str(path))
        return Peer(name, (str(path), "-W", "ignore", str(SCRIPT), name))
    return _of_command(name, value)


def _of_folder(name: str, folder: Path) -> Peer:
    """A virtual environment, or a checkout with or without one."""
    _check_known(name, str(folder))
    pythons = [folder / place for place in PYTHONS if (folder / place).exists()]
    python = str(pythons[0]) if pythons else sys.executable
    checkout = None if (folder / "pyvenv.cfg").exists() else folder.resolve()
    return Peer(name, (python, "-W", "ignore", str(SCRIPT), name), checkout)


def _of_command(name: str, value: str) -> Peer:
    words = shlex.split(value)
    if not words or shutil.which(words[0]) is None:
        raise _missing(name, words[0] if words else value)
    if len(words) == 1 and Path(words[0]).name.startswith("python"):
        _check_known(name, value)
    return Peer(name, tuple(words))


def _check_known(name: str, value: str) -> None:
    if name not in KNOWN:
        raise OptionError.of(
            "PC781",
            f"--peer {name}={value}: there is no script that times {name!r}",
            notes=(f"there are scripts for {', '.join(KNOWN)}",),
            help="give a command that follows the protocol of docs/howto/bench.md",
        )


def _missing(name: str, what: str) -> OptionError:
    return OptionError.of(
        "PC782",
        f"--peer {name}: {what} is not a program, environment or checkout",
        help="give the Python of an environment with the package, or the folder of its checkout",
    )


@dataclass(eq=False)
class Contest:
    """Compares peers with pccompiler; asks each once for a circuit and a batch.

    Attributes:
        peers: The peers.
        device: ``"cpu"`` or ``"cuda"``.
        threads: Threads on the CPU, as many as torch uses.
        repeats: How many times each run is timed.
        timeout: Time limit of a peer for one circuit and batch, in seconds.
        cases: All cases that peers will be asked for, so that each is asked once for all times of
            a circuit and a batch.
        failures: All failures, in order.
    """

    peers: Sequence[Peer]
    device: str
    threads: int
    repeats: int = REPEATS
    timeout: float = TIMEOUT
    cases: Sequence[Case] = ()
    failures: list[PeerError] = field(default_factory=list["PeerError"], init=False)
    _known: dict[tuple[object, ...], Answer] = field(
        default_factory=dict[tuple[object, ...], Answer], init=False
    )

    def answers(self, case: Case, milliseconds: float, files: Mapping[str, str]) -> Answer:
        """The time of each peer for the case: ``{name: {"ms": ..., "over_ours": ...}}``.

        A peer that fails is reported in `failures`, and as ``{"error": ...}``.

        Args:
            case: The case.
            milliseconds: Our time.
            files: See `Material`.
        """
        if case.kind.engine != "torch" or case.subject.structure == "file":
            return {}
        return {
            peer.name: _for_case(self._answer(peer, case, files), case, milliseconds)
            for peer in self.peers
        }

    def _answer(self, peer: Peer, case: Case, files: Mapping[str, str]) -> Answer:
        if peer.name in KNOWN and peer.name not in case.kind.peers:
            return {"skip": f"it does not time {case.kind.name}"}
        key = peer, case.subject, case.batch
        if key not in self._known:
            try:
                self._known[key] = self._ask(peer, case, files)
            except PeerError as error:
                self.failures.append(error)
                self._known[key] = {"error": error.diagnostics[0].message}
        return self._known[key]

    def _ask(self, peer: Peer, case: Case, files: Mapping[str, str]) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            words = [*peer.command, *self._options(case)]
            for name, text in files.items():
                path = Path(folder) / name
                path.write_text(text)
                words += [f"--{name}", str(path)]
            return _read(peer, case, self._run(peer, case, words))

    def _options(self, case: Case) -> list[str]:
        subject = case.subject
        options: dict[str, object] = {
            "case": case.name,
            "structure": subject.structure,
            "n": subject.n,
            "units": subject.units,
            "replicas": subject.replicas,
            "values": subject.values,
            "weights": subject.weights,
            "inner": subject.inner,
            "batch": case.batch,
            "time": ",".join(self._wanted(case)),
            "repeats": self.repeats,
            "device": self.device,
            "threads": self.threads,
        }
        return [word for name, value in options.items() for word in (f"--{name}", str(value))]

    def _wanted(self, case: Case) -> list[str]:
        """The times of this circuit and batch that any case asks for."""
        alike = [c for c in self.cases if (c.subject, c.batch) == (case.subject, case.batch)]
        return sorted({c.kind.asked for c in (case, *alike)})

    def _run(self, peer: Peer, case: Case, words: list[str]) -> str:
        """The peer's output."""
        environment = dict(os.environ)
        if peer.folder is not None:
            paths = [str(peer.folder), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                check=False,
                timeout=self.timeout,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise PeerError.of(
                "PC784",
                f"peer {peer.name} took more than {self.timeout:g} s for {case.name}",
                help="choose smaller cases, or allow more time: --peer-timeout",
            ) from None
        if done.returncode != 0:
            raise _crashed(peer, case, done)
        return done.stdout


def _crashed(peer: Peer, case: Case, done: subprocess.CompletedProcess[str]) -> PeerError:
    said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip(" ^~")]
    return PeerError.of(
        "PC783",
        f"peer {peer.name} failed on {case.name} with exit code {done.returncode}",
        notes=[line.strip() for line in said[-LINES:]],
        help=f"run it by hand: {shlex.join(peer.command)} --n {case.subject.n} ...",
    )


def _read(peer: Peer, case: Case, output: str) -> Answer:
    """The peer's last line as JSON."""
    lines = output.strip().splitlines() or [""]
    found = _object(lines[-1])
    if "skip" not in found and not _times(found):
        raise PeerError.of(
            "PC785",
            f"peer {peer.name} printed no result for {case.name}",
            notes=(f"its last line: {lines[-1][:100]!r}",),
            help='let it print {"step_ms": ...} last, or {"skip": "why"}; see docs/howto/bench.md',
        )
    return found


def _object(line: str) -> Answer:
    """The line as a JSON object, empty if it is not one."""
    try:
        found: object = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _times(found: Answer) -> bool:
    times = [time for name, time in found.items() if name.endswith("_ms")]
    return bool(times) and all(isinstance(t, int | float) and t > 0 for t in times)


def _for_case(answer: Answer, case: Case, milliseconds: float) -> Answer:
    """The peer's time of what the case times, compared with pccompiler's."""
    if "error" in answer or "skip" in answer:
        return answer
    name = f"{case.kind.asked}_ms"
    others = {k: v for k, v in answer.items() if not k.endswith("_ms")}
    if name not in answer:
        return {"skip": f"it does not time {case.kind.asked}", **others}
    return {"ms": answer[name], "over_ours": float(f"{answer[name] / milliseconds:.3g}"), **others}
