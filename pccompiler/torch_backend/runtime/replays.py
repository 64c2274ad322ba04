"""Repeated calls on CUDA as replays of captured graphs, which launch a dozen kernels at once.

The second call with a similar number of rows captures a graph; later ones replay it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor

from pccompiler.torch_backend.runtime.capture import captured

_MOST = 8
"""Graphs that are kept, the most recently used ones."""


Function = Callable[[Tensor, torch.Generator | None], tuple[Tensor, ...]]
"""Maps rows, and random numbers if it uses any, to floating-point tensors with an entry a row."""
Check = Callable[[Tensor], Tensor]
"""Whether some of the rows are invalid."""


class _Graph(NamedTuple):
    graph: torch.cuda.CUDAGraph
    rows: Tensor
    values: tuple[Tensor, ...]
    wrong: Tensor | None  # in pinned memory of the host
    generator: torch.Generator | None


class Replays:
    """Calls of one function of rows.

    Args:
        most: The most rows of a call that is captured.
        blank: What rows of a graph hold beyond those of a call.
    """

    def __init__(self, most: int, blank: float = torch.nan) -> None:
        self.most, self.blank = most, blank
        self.graphs: OrderedDict[tuple[int, bool], _Graph | None] = OrderedDict()
        self.valid_for: Hashable = None
        self.stream: torch.cuda.Stream | None = None
        self.lock = threading.Lock()

    def __call__(
        self,
        x: Tensor,
        run: Function,
        wrong: Check | None,
        valid_for: Hashable,
        source: torch.Generator | None = None,
    ) -> tuple[tuple[Tensor, ...], bool] | None:
        """The values of ``x``, and whether a row is invalid; ``None`` to call the function itself.

        Args:
            x: Shape (batch, variables), on the device.
            run: What to call. It must not wait for the device.
            wrong: Whether a row is invalid, as a 0-d boolean tensor on the device, likewise.
                ``None`` if it need not be known; otherwise the call waits for the result.
            valid_for: Graphs are captured anew if this changes: addresses of parameters, and
                settings that the function depends on.
            source: Random numbers, if ``run`` uses them; it goes on where a call of ``run`` ends.
        """
        batch = len(x)
        if not 0 < batch <= self.most or torch.cuda.is_current_stream_capturing():
            return None
        with self.lock:
            if valid_for != self.valid_for:
                self.graphs.clear()
                self.valid_for = valid_for
            key = bucket(batch), wrong is not None
            if key not in self.graphs:
                self._keep(key, None)
                return None
            found = self.graphs[key] or self._captured(x, key, run, wrong, source is not None)
            if found is None:
                return None
            self.graphs.move_to_end(key)
            return self._replay(found, x, source)

    def _replay(
        self, found: _Graph, x: Tensor, source: torch.Generator | None
    ) -> tuple[tuple[Tensor, ...], bool]:
        stream = torch.cuda.current_stream(x.device)
        if self.stream is not None and self.stream != stream:
            stream.wait_stream(self.stream)
        self.stream = stream
        # Sums with 0 are kernels: copies on the device cost the host three times as much.
        torch.add(x, 0.0, out=found.rows[: len(x)])
        if found.generator is not None and source is not None:
            found.generator.manual_seed(source.initial_seed())
            found.generator.set_offset(source.get_offset())
            found.graph.replay()
            source.set_offset(found.generator.get_offset())
        else:
            found.graph.replay()
        values = tuple(value[: len(x)] + 0.0 for value in found.values)
        if found.wrong is not None:
            stream.synchronize()
            if bool(found.wrong):
                found.rows.fill_(self.blank)  # later calls must not meet invalid rows
                return values, True
        return values, False

    @torch.inference_mode(False)
    @torch.no_grad()
    def _captured(
        self,
        x: Tensor,
        key: tuple[int, bool],
        run: Function,
        wrong: Check | None,
        random: bool,
    ) -> _Graph | None:
        """A graph for calls with this key; ``None`` if the function cannot be captured."""
        rows = x.new_full((key[0], x.shape[1]), self.blank)
        flag = torch.zeros((), dtype=torch.bool, device="cpu").pin_memory()

        def both() -> tuple[Tensor, ...]:
            if wrong is not None:
                flag.copy_(wrong(rows), non_blocking=True)
            return run(rows, own)

        own = torch.Generator(x.device) if random else None
        try:
            with torch.cuda.device(x.device):
                graph, values = captured(both, warm_ups=1, mode="thread_local", generator=own)
        except RuntimeError:
            self.most = 0  # it would fail again
            return None
        found = _Graph(graph, rows, values, None if wrong is None else flag, own)
        self._keep(key, found)
        return found

    def _keep(self, key: tuple[int, bool], found: _Graph | None) -> None:
        self.graphs[key] = found
        while len(self.graphs) > _MOST:
            self.graphs.popitem(last=False)


def bucket(batch: int) -> int:
    """``batch`` rounded up to four significant bits, so that few sizes have to be captured."""
    unit = 1 << max(0, batch.bit_length() - 4)
    return -(-batch // unit) * unit
