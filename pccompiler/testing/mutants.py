"""Damaged and hostile input for tests of readers: bytes, text and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

PAGE = 4096
_RAW = "@@RAW@@"
ODD_WORDS = (
    *("", "-1", "0", "1", "2", "3", "4", "-0", "+1", "1.5", "0.5", "1e308", "1e-308", "1e400"),
    *("nan", "-nan", "inf", "-inf", "9" * 20, "1" * 400, "9" * 5000, "0" * 5000, "1_000", "0x10"),
    *("2147483647", "2147483648", "4294967296", "1000000000", "9223372036854775808", "65536"),
    *("\0", "\x0b", "\x1c", "\x85", "\u2028", "\ufeff", "²", "٣", "é", "\udcff", "\udc80" * 3),
    *("%", "@", "#", ";", ":", ",", "=", "|", "{", "}", "(", ")", "[", "]", '"', "'", "\\", "//"),
    *("/*", "*/", "+", "*", "c", "L", "T", "D", "A", "O", "I", "i", "true", "None", ".", "..", "~"),
    *("[" * 2000, "(" * 2000, "{" * 2000, "x" * 3000, "\n", "\r", "\t"),
)
"""Words that have broken readers; surrogates represent bytes that are not UTF-8."""
_ODD_JSON = (
    *("null", "true", "0", "-1", "1", "2", "3.5", "1e400", "NaN", "Infinity", "9" * 5000, "1" * 25),
    *('""', '"x"', '"\\u0000"', '"\\ud800"', "[]", "{}", "[[1]]", '{"a": 1}', "[" * 2000, "[0" * 9),
    *("[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000, "", "nul", "4294967296"),
)
Bytes = Callable[[bytes, np.random.Generator], bytes]


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage as from disks and transfers: a few flipped bits, truncation, or a page of zeros."""
    kind = int(rng.integers(3))
    if kind == 0 or len(content) < 2:
        return flipped(content, rng)
    if kind == 1:
        return content[: int(rng.integers(len(content)))]
    start = int(rng.integers(len(content)))
    stop = min(start + int(rng.integers(1, PAGE + 1)), len(content))
    return content[:start] + bytes(stop - start) + content[stop:]


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one to four bits."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 5)) if found else 0):
        found[int(rng.integers(len(found)))] ^= 1 << int(rng.integers(8))
    return bytes(found)


def mutated_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Make one change to bytes, words or lines; sometimes two or three."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if rng.random() < 0.15:
            content = damage(content, rng)
        else:
            change = _CHANGES[int(rng.integers(len(_CHANGES)))]
            text = content.decode("utf-8", "surrogateescape")
            content = change(text, rng).encode("utf-8", "surrogateescape")
    return content


def pick(items: Sequence[str], rng: np.random.Generator) -> str:
    """One of the items; an empty string if there are none."""
    return items[int(rng.integers(len(items)))] if items else ""


def _replace_word(text: str, rng: np.random.Generator) -> str:
    return _with_word(text, rng, lambda _: pick(ODD_WORDS, rng))


def _insert_word(text: str, rng: np.random.Generator) -> str:
    return _with_word(text, rng, lambda word: f"{word} {pick(ODD_WORDS, rng)}")


def _join_word(text: str, rng: np.random.Generator) -> str:
    return _with_word(text, rng, lambda word: word + pick(ODD_WORDS, rng))


def _borrow_word(text: str, rng: np.random.Generator) -> str:
    return _with_word(text, rng, lambda _: pick(text.split(), rng))


def _repeat_word(text: str, rng: np.random.Generator) -> str:
    return _with_word(text, rng, lambda word: " ".join([word] * int(rng.integers(2, 200))))


def _with_word(text: str, rng: np.random.Generator, make: Callable[[str], str]) -> str:
    """``text`` with one word of one line replaced."""
    lines = text.split("\n")
    at = int(rng.integers(len(lines)))
    words = lines[at].split(" ")
    place = int(rng.integers(len(words)))
    words[place] = make(words[place])
    lines[at] = " ".join(words)
    return "\n".join(lines)


def _swap_words(text: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    one, other = rng.integers(len(words), size=2).tolist()
    words[one], words[other] = words[other], words[one]
    return " ".join(words)


def _swap_lines(text: str, rng: np.random.Generator) -> str:
    lines = text.split("\n")
    one, other = rng.integers(len(lines), size=2).tolist()
    lines[one], lines[other] = lines[other], lines[one]
    return "\n".join(lines)


def _drop_line(text: str, rng: np.random.Generator) -> str:
    lines = text.split("\n")
    del lines[int(rng.integers(len(lines)))]
    return "\n".join(lines)


def _repeat_line(text: str, rng: np.random.Generator) -> str:
    lines = text.split("\n")
    at = int(rng.integers(len(lines)))
    lines[at:at] = [lines[at]] * int(rng.choice([1, 2, 50]))
    return "\n".join(lines)


_CHANGES: tuple[Callable[[str, np.random.Generator], str], ...] = (
    _replace_word, _replace_word, _insert_word, _join_word, _borrow_word, _borrow_word,
    _repeat_word, _swap_words, _swap_lines, _drop_line, _repeat_line,
)  # fmt: skip


def mutated_json(value: Any, rng: np.random.Generator) -> str:  # any JSON value
    """A JSON text with one odd value, or one key renamed or removed."""
    copy = json.loads(json.dumps(value))
    places = list(_places(copy))
    if not places or rng.random() < 0.1:
        return mutated_text(json.dumps(value).encode(), rng).decode("utf-8", "replace")
    parent, key = places[int(rng.integers(len(places)))]
    kind = rng.random()
    if kind < 0.7 or isinstance(parent, list):
        parent[key] = _RAW
    elif kind < 0.85:
        del parent[key]
    else:
        parent[pick([str(key), "", "x", "\0"], rng) + "'"] = parent.pop(key)
    return json.dumps(copy).replace(f'"{_RAW}"', pick(_ODD_JSON, rng))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """The container and the key of each value inside ``value``."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        item = stack.pop()
        keys = range(len(item)) if isinstance(item, list) else item
        if isinstance(item, list | dict):
            found += [(item, key) for key in keys]
            stack += [item[key] for key in keys]
    return found
