"""Users' rows as tables of numbers, whatever form they have, by position or by name."""

from pccompiler.tables.rows import (
    Block,
    Given,
    as_numbers,
    as_records,
    as_table,
    column_of,
    frame_labels,
    is_frame,
    wrong_shape,
)

__all__ = [
    "Block",
    "Given",
    "as_numbers",
    "as_records",
    "as_table",
    "column_of",
    "frame_labels",
    "is_frame",
    "wrong_shape",
]
