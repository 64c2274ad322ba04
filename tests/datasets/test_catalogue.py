from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.datasets import info, names
from pccompiler.datasets.catalogue import COLLECTIONS
from pccompiler.errors import DataError

Golden = Callable[[str], None]


def test_names_are_in_the_order_of_the_paper() -> None:
    assert names("twenty")[:3] == ("nltcs", "msnbc", "kdd")
    assert names() == tuple(name for collection in COLLECTIONS for name in names(collection))


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("nltcs", "nltcs"),
        ("NLTCS", "nltcs"),
        ("twenty/nltcs", "nltcs"),
        ("twenty/Audio", "baudio"),
        ("Pumsb-star", "pumsb_star"),
        ("20newsgrp", "c20ng"),
        ("20 Newsgroups", "c20ng"),
        ("EACHMOVIE", "tmovie"),
        ("hand_designed", "hand-designed"),
        ("generated/hand-designed", "hand-designed"),
    ],
)
def test_takes_file_names_and_titles(spelling: str, name: str) -> None:
    assert info(spelling).name == name


@given(name=st.sampled_from(names()), upper=st.booleans(), qualified=st.booleans())
def test_every_name_and_title_finds_its_entry(name: str, upper: bool, qualified: bool) -> None:
    entry = info(name)
    for spelling in (entry.name, entry.title):
        spelled = spelling.upper() if upper else spelling
        assert info(f"{entry.collection}/{spelled}" if qualified else spelled) is entry


@pytest.mark.parametrize("name", ["amazon/nltcs", "pictures/mnist", "", "/", "zzz"])
def test_refuses_other_names(name: str) -> None:
    with pytest.raises(DataError, match=r"error\[PC410\]"):
        info(name)


def test_facts_of_images_are_known_without_loading() -> None:
    assert info("digits").image_shape == (1, 8, 8)
    assert {v.cardinality for v in info("digits").variables} == {17}
    assert info("mnist").image_shape == (1, 28, 28)
    assert info("nltcs").image_shape is None
    assert {v.domain for v in info("nltcs").variables} == {"binary"}


def test_published_figures() -> None:
    plants, toys, apparel, nips = map(info, ("plants", "toys", "apparel", "nips"))
    assert plants.paper is not None
    assert (plants.paper.weight_decay, plants.paper.hyperspn) == (-13.36, -13.26)
    assert (plants.paper.einet, plants.paper.rat_spn_sem) == (-13.74, -13.44)
    assert (plants.paper.best, plants.paper.einet_sem) == (-12.81, None)
    assert toys.paper is not None
    assert (toys.paper.einet, toys.paper.einet_sem) == (None, -7.84)
    assert toys.paper_parameters is None
    assert apparel.paper_parameters == (250_050, 50_655)
    assert nips.paper is None


@pytest.mark.parametrize("name", [n for n in names() if info(n).paper_parameters])
def test_published_sizes_follow_the_formula(name: str) -> None:
    """With k=5 and r=50; a typo in the table would show here."""
    entry = info(name)
    sectors = 2 * entry.num_variables * 50  # the reference allocates one unused per replica
    network = 605 if entry.collection == "amazon" else 1065
    assert entry.paper_parameters == (sectors * 25 + 50, sectors * 5 + network + 50)


def test_unknown_names(golden: Golden) -> None:
    texts: list[str] = []
    for name in ("pumbs", "netflicks", "amazon/nltcs", "zzz"):
        with pytest.raises(DataError) as caught:
            info(name)
        texts.append(str(caught.value))
    with pytest.raises(DataError) as caught:
        names("pictures")
    golden("\n".join([*texts, str(caught.value)]))
