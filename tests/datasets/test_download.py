"""Downloads from a server on this machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch  # type: ignore[import-untyped] # it has no stubs
import pytest

from pccompiler.datasets import Dataset, info, load, names
from pccompiler.datasets.download import ORIGINS, urls
from pccompiler.datasets.records import SPLITS
from pccompiler.errors import DataError

Golden = Callable[[str], None]
Scrub = Callable[[DataError, Path], str]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(
    isolated: Path, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ThreadingHTTPServer]:
    """Serves ``isolated / "www"``, with ``tiny`` in it."""
    folder = isolated / "www"
    folder.mkdir()
    for part in SPLITS:
        np.savetxt(folder / f"pottytrain.{part}.data", getattr(tiny, part), "%i", ",")
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        origin = f"http://127.0.0.1:{server.server_port}/{{name}}.{{part}}.data"
        monkeypatch.setitem(ORIGINS, "amazon", origin)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()
        thread.join()


def in_cache(isolated: Path) -> list[str]:
    cache = isolated / "cache" / "pccompiler"
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def test_downloads_once(
    isolated: Path, tiny: Dataset, server: ThreadingHTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    level = pooch.get_logger().level
    with caplog.at_level(logging.INFO, logger="pccompiler"):
        first = load("pottytrain")
    assert [record.name for record in caplog.records] == ["pccompiler.datasets.download"] * 3
    assert pooch.get_logger().level == level
    assert in_cache(isolated) == ["amazon/pottytrain.npz"]
    for part in SPLITS:
        (isolated / "www" / f"pottytrain.{part}.data").unlink()
    second = load("pottytrain", download=False)
    for part in SPLITS:
        np.testing.assert_array_equal(getattr(first, part), getattr(tiny, part))
        np.testing.assert_array_equal(getattr(second, part), getattr(tiny, part))
    assert first.train.dtype == np.uint8
    assert first.train.flags.c_contiguous


@pytest.mark.parametrize(
    ("damage", "code"), [("0,1\n", "PC413"), ("", "PC414"), ("<html>no</html>", "PC414")]
)
def test_keeps_nothing_wrong(
    isolated: Path, server: ThreadingHTTPServer, damage: str, code: str
) -> None:
    (isolated / "www" / "pottytrain.test.data").write_text(damage)
    with pytest.raises(DataError, match=rf"error\[{code}\]: http://127"):
        load("pottytrain")
    assert in_cache(isolated) == []
    assert list((isolated / "cache" / "pccompiler").iterdir()) == []


def test_no_download_unless_allowed(isolated: Path, server: ThreadingHTTPServer) -> None:
    with pytest.raises(DataError, match=r"error\[PC411\]"):
        load("pottytrain", download=False)
    with pytest.raises(DataError, match=r"error\[PC411\]"):
        load("pottytrain", data_dir=isolated)
    assert in_cache(isolated) == []


def test_cannot_download(
    isolated: Path, server: ThreadingHTTPServer, golden: Golden, scrubbed: Scrub
) -> None:
    (isolated / "www" / "pottytrain.train.data").unlink()
    with pytest.raises(DataError) as caught:
        load("pottytrain")
    text = scrubbed(caught.value, isolated)
    golden(text.replace(f":{server.server_port}", ":PORT"))
    assert in_cache(isolated) == []


def test_cannot_write_the_cache(isolated: Path, server: ThreadingHTTPServer) -> None:
    (isolated / "cache").touch()
    with pytest.raises(DataError, match=r"error\[PC412\]"):
        load("pottytrain")


def test_addresses() -> None:
    for name in names():
        if info(name).collection in ORIGINS:
            assert all(
                url.endswith(f"{name}.{part}.data") for part, url in urls(info(name)).items()
            )
    debd = "https://raw.githubusercontent.com/arranger1044/DEBD/master/datasets/"
    assert urls(info("nltcs"))["valid"] == debd + "nltcs/nltcs.valid.data"
    assert urls(info("nips"))["train"] == debd + "nips/nips.train.data"
    assert urls(info("toys"))["test"].endswith("/datasets/amzn/amzn_toys/amzn_toys.test.data")
