"""SHA-256 digests of the published data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pccompiler.datasets.records import SPLITS, Dataset, DatasetInfo
from pccompiler.errors import DataError


def digest(dataset: Dataset) -> str:
    """SHA-256 in hex over the name, shape and bytes of each part.

    It covers the parsed arrays, not a file, so that ``.npz`` and text give the same digest.
    """
    state = hashlib.sha256()
    for part in SPLITS:
        array = getattr(dataset, part)
        state.update(f"{part} {array.shape[0]} {array.shape[1]}\n".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def check(dataset: Dataset, entry: DatasetInfo, source: str | Path) -> Dataset:
    """Return ``dataset`` if it is the published set.

    Raises:
        DataError: If it is not; names ``source``.
    """
    found = digest(dataset)
    expected = DIGESTS[entry.name]
    if found == expected:
        return dataset
    shapes = {part: getattr(dataset, part).shape for part in SPLITS}
    wrong = [p for p in SPLITS if shapes[p] != entry.shapes[p]]
    raise DataError.of(
        "PC413",
        f"{source} is not the published data set {entry.name!r}",
        notes=[
            f"expected SHA-256 {expected}",
            f"found SHA-256    {found}",
            *(f"{p} has shape {shapes[p]}, expected {entry.shapes[p]}" for p in wrong),
        ],
        help="use an unmodified copy; load_file() reads modified data sets",
    )


DIGESTS: Final[Mapping[str, str]] = {
    "nltcs": "811b2b16af6e2b89da1a61e01dc7f1c4ac4c2318c2878a617d37c1b6a9086c76",
    "msnbc": "c65bd23a43be44c672a23e677405c9c88a800a80dbf42aaab87f5c03f9e3b2f8",
    "kdd": "0ac47edc2f87d3cfd86de3f54bb331cb9612a19a55d4584165f9f9601589dbbb",
    "plants": "33b9f58c58026074e9035ca97a86869d011dc90968db99cb43116571a4747115",
    "baudio": "7e94fa7f6bd589067cbf2eebaa6453c67660865d05273a6ace62fccd2d02e474",
    "jester": "4fcf69771765f233fd2f553c3a965f5c53610a835f4bc936aaf14ac1f0c39ab8",
    "bnetflix": "a58c35476d8c11764bb183819bb53c941710ca4569335fa40afa804d56e6b4c0",
    "accidents": "f060b1e562d5aa0f6e7e5723dbfb7dd4a47d3ae2efebd33490a44afae0e42777",
    "tretail": "806c6f68ff850467ca2aaf5dca64449d002ea44ecdd386ff3f474624bd4c214e",
    "pumsb_star": "4688540f865749d7a8fd422f93344af73b64e548c5977459158fd2a2216936d0",
    "dna": "df9d3aa039bbc5e90ff0503dff34444ce857b60a56609a212b7300d56defa973",
    "kosarek": "c5e2cf8006af389da9254e5497cbca0cecae9551315c728bd7f2edbb0657c17d",
    "msweb": "9e67e835c4c78e7acda1b2043f8ace64d0fa3f7319352d9d079769e89337d451",
    "book": "61cbde0c7c41e1c782834bc598d6f903a89196ba95411e23b249cb33eb392435",
    "tmovie": "b8f7f2742286abf9d7c6c39a084114bc2a4c4a7c7b150d9ed5c19abdfd4c40ff",
    "cwebkb": "562bdac746f633cca4a5ab05bb259e91a3f02f7f2994d1109c343882e29ccece",
    "cr52": "b5272c65cfc9526098f320351716f9d00a8f38b3ae6d50b13e2b6811eb3c493f",
    "c20ng": "fdae45025058015423455490a83f12cfe4f9e1809e5ec506ec5a75566fb2f522",
    "bbc": "9f41b5c055d8d53e599fcb456e1b3a1b505963e5986799c060327e8b7a5342e8",
    "ad": "0ab3510a1e0f1021bc89b1e1c84613737c4c6b99db5fccf8c9ee43ab90227696",
    "apparel": "77e9f3949812c64bac5410259a95c3f87094cdba6623517df0d01c264b0337ce",
    "bath": "ed952ac447470ab71607507519b87c8ceed0ebd061f01ec65e4a34485102161e",
    "bedding": "b49bc52219dc61e6244b729334df034f8d2ded1c7a98b824f24ea3dc8f02be3b",
    "carseats": "32da8c6e7804af9748b246b3e8f6e8bd115cf3add637583d927f56cfd7720240",
    "decor": "3ec7949aa5ebe394036b5c52382e98189d1591a7ebd18c21c45b51648d9b5b50",
    "diaper": "fd0efc525260389d2625429bebaff5850d74dfdff8f1a063c522d602deb8be71",
    "feeding": "15d5281ac87d4869068849a1ed0f746782f25f16fb361fa52805439573e6e083",
    "furniture": "2b94e0048099fe82b99ec05aee073c1d1825ad980eceab7a2d0e8df0f9906dc3",
    "gear": "92905955fb779912198ce7c847bad52a3e780cd5ec132b1f34d87f5e2570f65b",
    "gifts": "63991db2f63c6a57503c0176ccf14035743d3f3cf823af6f6b1535c4bf7b95c9",
    "health": "12ac9ec9c458c2ff36a199217d623f38852e2b2a7334358195aebb6387be04a5",
    "media": "74fb799cd866433b6582e827f5d7898215247c847ce735cb61eb9b3b7a8414eb",
    "moms": "63182b72862205fce1017435d090c1a757d552a66fbf64e52c742796b6157f83",
    "pottytrain": "f2d312e4dcdfbb2b6b4537b0c4f5cdf027dae6f818d4c86b3c526bc1aace0a8c",
    "safety": "267b113668f3144b1785ecfac31fc08c22dedb2a6c122fd93734d64c4d923c4d",
    "strollers": "7b513f14eb3d8b197386c1bf5211428340872dc024aeb2a6a04a6f6335df2551",
    "toys": "db55faf4de0782d83ad1d84c415609f6e7ccd9417d6dc2d15cc94b479fa46ab3",
    "moviereview": "ed7f4e388e6455f88ee93d769f261763ff2fcd0c665ae7ccc69bca60ef234c54",
    "mushrooms": "122a2b12d7edc1ab64d395760e9913d6f0a9ad9e70fc6d951941e7eb78b2cfe2",
    "nips": "06f714c79bddabd8087de86702b75fb21b923bd6aae855a705cab69cfe9528c0",
    "ocr_letters": "679a983a95f8326dda1cc531e3bd97edfee617dfaa3fb0895b8a6e96958029cb",
    "voting": "9d89787ba4f38ae2bda93d5f778183233d8042fcb8acb3c56d5035f89a9f924c",
    "mnist": "90cd61ff9cc4e15b3ab9e462dbe47355a79d8f83ecd0a161825a3fed66a7cf61",
    "binarized_mnist": "e1375de98a54aa13a0dbc6f3645cd3cb0b65040d8a3f187209f7478e40e7b373",
    "digits": "3170f5c28c0417a78e52880c9aa2f6f9f010892f9817a1b510b3d4c262964244",
    "hand-designed": "23532c5e3e02612e0fbd2bd595f98002dbbbcbc4eb9e302a02ee0ba6c3d284a0",
}
