"""What other packages add through entry points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pccompiler import log
from pccompiler.errors import PluginError
from pccompiler.plugins import Registry, instances

Golden = Callable[[str], None]
Install = Callable[..., None]
GROUP = "pccompiler.words"


def registry() -> Registry[str]:
    return Registry(GROUP, {"ours": "here"}, instances(str, "a text"))


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_SAID", set())


def message(error: pytest.ExceptionInfo[PluginError]) -> str:
    return str(error.value)


def test_without_plug_ins_there_are_only_our_own() -> None:
    assert dict(registry()) == {"ours": "here"}
    assert "theirs" not in registry()
    with pytest.raises(KeyError):
        registry()["theirs"]


def test_what_a_package_declares_is_found_by_name(install: Install) -> None:
    install("own_words", GROUP, {"theirs": "own_words:WORD"}, "WORD = 'there'")
    assert dict(registry()) == {"ours": "here", "theirs": "there"}
    assert len(registry()) == 2


def test_nothing_is_imported_before_it_is_asked_for(install: Install, golden: Golden) -> None:
    install("broken", GROUP, {"theirs": "broken:WORD"}, "raise RuntimeError('no such device')")
    assert registry()["ours"] == "here"
    assert list(registry()) == ["ours", "theirs"]
    with pytest.raises(PluginError) as error:
        registry()["theirs"]
    golden(message(error))


def test_an_object_that_is_missing(install: Install, golden: Golden) -> None:
    install("own_words", GROUP, {"theirs": "own_words:GONE"})
    with pytest.raises(PluginError) as error:
        registry()["theirs"]
    golden(message(error))


def test_an_object_of_another_kind(install: Install, golden: Golden) -> None:
    install("own_words", GROUP, {"theirs": "own_words:WORD"}, "WORD = 3")
    with pytest.raises(PluginError) as error:
        registry()["theirs"]
    golden(message(error))


def test_two_packages_of_one_name(install: Install, golden: Golden) -> None:
    install("first", GROUP, {"theirs": "first:WORD"}, "WORD = 1")
    install("second", GROUP, {"theirs": "second:WORD"}, "WORD = 2")
    with pytest.raises(PluginError) as error:
        registry()["theirs"]
    golden(message(error))


def test_a_package_cannot_take_a_name_of_ours(
    install: Install, golden: Golden, caplog: pytest.LogCaptureFixture
) -> None:
    install("own_words", GROUP, {"ours": "own_words:WORD"}, "WORD = 'there'")
    assert registry()["ours"] == "here"
    assert dict(registry()) == registry().usable() == {"ours": "here"}
    golden("\n".join(caplog.messages))


def test_what_is_broken_is_left_out_with_a_warning(
    install: Install, golden: Golden, caplog: pytest.LogCaptureFixture
) -> None:
    install("broken", GROUP, {"bad": "broken:WORD"}, "raise ImportError('no such library')")
    install("first", GROUP, {"twice": "first:WORD"}, "WORD = 'there'")
    install("second", GROUP, {"twice": "second:WORD", "theirs": "second:WORD"}, "WORD = 'there'")
    for _ in range(2):
        assert registry().usable() == {"ours": "here", "theirs": "there"}
    assert len(caplog.messages) == 2
    golden("\n".join(caplog.messages))
    with pytest.raises(KeyError):
        registry()["gone"]


def test_an_object_whose_own_name_is_another(install: Install, golden: Golden) -> None:
    install("own_words", GROUP, {"theirs": "own_words:WORD"}, "WORD = 'there'")
    named = Registry(GROUP, {}, replace(instances(str, "a text"), own_name=str))
    with pytest.raises(PluginError) as error:
        named["theirs"]
    golden(message(error))
    named.add("there", "there")


def test_things_added_by_hand(golden: Golden) -> None:
    words = registry()
    words.add("mine", "at hand")
    assert dict(words) == {"ours": "here", "mine": "at hand"}
    words.add("mine", "again")
    assert words["mine"] == "again"
    with pytest.raises(PluginError, match="PC791"):
        words.add("ours", "mine now")
    with pytest.raises(PluginError, match="PC792"):
        words.add("other", 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
