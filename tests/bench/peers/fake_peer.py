"""A peer by the generic protocol, for tests: fake_peer.py answer|network|skip|... OPTIONS."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    what, options = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    if what == "crash":
        sys.exit("no such circuit")
    if what == "slow":
        time.sleep(60)
    print("warming up")
    if what == "answer":
        print(json.dumps({"step_ms": 1e3 * float(options["--n"]), "version": "fake 1"}))
    if what == "network":
        print(json.dumps({"mpe_ms": len(Path(options["--network"]).read_text())}))
    if what == "skip":
        print(json.dumps({"skip": "no such circuit"}))


if __name__ == "__main__":
    main()
