"""Tile sizes of the dense kernels' programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pccompiler.ir.arrays import power_of_two


class Tile(NamedTuple):
    """Rows of data and units that a program of a level writes, units per read, and warps."""

    batch: int
    out: int
    step: int
    warps: int


@dataclass(frozen=True)
class Tiles:
    """Tile sizes (powers of two) and warps.

    Attributes:
        batch: Rows of data in a program of a level.
        out: Units that such a program writes.
        step: Units that it reads at a time.
        warps: Warps of such a program.
        narrow: Programs that write at most this many units have 4 warps, and
        narrow_batch: these rows if products are in float32, and if they are rounded.
        least: Levels of few programs are cut up, down to squares of this size,
        programs: until they have this many; such small programs have 4 warps, and
        thin_step: read this many units at a time.
        gradient: Rows and columns of weight gradients in a program.
        gradient_batch: Rows of data that it reads at a time.
        gradient_warps: Warps of such a program.
        states: States in a program of table gradients.
        state_batch: Rows of data that it reads at a time.
        joined_batch: The same if the rows of several leaf rows are sorted together,
        joined_out: the units of such a program, and
        chunk: the most rows that it reads.
        wide: Levels whose sums have at least so many units and inputs are products in cuBLAS, if
            products are in float32, and if they are rounded.
        large: With so many numbers in all terms, flows take the place of terms, level by level.
    """

    batch: int = 64
    out: int = 128
    step: int = 32
    warps: int = 8
    narrow: int = 64
    narrow_batch: tuple[int, int] = (128, 32)
    least: int = 32
    programs: int = 132
    thin_step: int = 128
    gradient: tuple[int, int] = (64, 128)
    gradient_batch: int = 32
    gradient_warps: int = 4
    states: int = 32
    state_batch: int = 32
    joined_batch: int = 32
    joined_out: int = 64
    chunk: int = 256
    wide: tuple[int, int] = (512, 256)
    large: int = 2**28

    def level(self, rows: int, batch: int, out: int, reads: int, rounds: bool) -> Tile:
        """The tile of a level: smaller for thin levels, so that they fill the chip.

        Args:
            rows: Regions of the level.
            batch: Rows of data.
            out: Units written for each region.
            reads: Units read for each region.
            rounds: Whether products are rounded.
        """
        wide = block(out, self.out)
        narrow = wide <= self.narrow
        most = self.narrow_batch[rounds] if narrow else self.batch
        high, whole = block(batch, most), True
        while rows * -(-batch // high) * -(-out // wide) < self.programs:
            if max(high, wide) <= self.least:
                break
            high, wide = (high, wide // 2) if wide >= high else (high // 2, wide)
            whole = False
        if high * wide < 4096 and not (narrow and whole):
            return Tile(high, wide, block(reads, self.thin_step), 4)
        return Tile(high, wide, block(reads, self.step), 4 if narrow else self.warps)


def block(size: int, most: int = 128) -> int:
    """The smallest power of two from 16 to ``most`` that covers ``size``, otherwise ``most``."""
    return min(most, max(16, power_of_two(size)))
