"""All measurements of this machine, one after another: what ``make bench`` runs.

    python -m benchmarks.run

``PCCOMPILER_CIRKIT`` names the Python of an environment with cirkit, to be timed beside (see
cirkit_step.py). On a GPU, run ``benchmarks.gpu_step`` and ``benchmarks.paper`` too.
"""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> None:
    """Each in a process of its own."""
    cirkit = os.environ.get("PCCOMPILER_CIRKIT")
    step = ["cpu_step", *(["--cirkit", cirkit] if cirkit else [])]
    for command in (["parameters"], ["compile_time"], ["agreement"], ["onnx"], step):
        print("$ python -m benchmarks." + " ".join(command), flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]], check=True)


if __name__ == "__main__":
    main()
