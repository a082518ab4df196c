"""Write the faces that the landmark weights were trained on, and those held out, as two files.

    python scripts/landmark_split.py photo labels_ibug_300W_train.xml ibug_train.xml ibug_test.xml
    python scripts/landmark_split.py person labels_p1_train.xml p1_train.xml p1_test.xml

A fifth of the groups is held out: those whose name's SHA-256, its first eight hexadecimal digits
modulo ten, is 0 or 1. A group is a photo (its faces are numbered) or a person (their frames are).
The rule does not look at the other groups, so it holds for any part of the sets. Of the held-out
photos, those are left out that show a person who is also in another photo of the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from typing import Final

from facekit import datasets

NUMBERS: Final = {"photo": re.compile(r"_\d$"), "person": re.compile(r"_\d\d$")}
HELD_OUT: Final = (0, 1)
MODULUS: Final = 10

TWINS: Final = frozenset(
    f"helen/{number}"
    for number in (
        "1207662328",
        "1439641049",
        "13601448",
        "1425648903",
        "2267933931",
        "1458242965",
        "2203694817",
        "106348540",
        "2102099439",
        "2225440586",
    )
)
"""Found by looking at the 60 closest pairs across the split, by hashes and by correlation."""


def group(name: str, by: str) -> str:
    """Return the photo or the person of an image file."""
    stem = name.rsplit(".", 1)[0].replace("_mirror", "")
    return NUMBERS[by].sub("", stem)


def is_held_out(name: str) -> bool:
    """Tell the side of a group."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % MODULUS in HELD_OUT


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("by", choices=sorted(NUMBERS))
    parser.add_argument("labels", help="dlib XML")
    parser.add_argument("train", help="dlib XML to be written")
    parser.add_argument("test", help="dlib XML to be written")
    options = parser.parse_args()
    records = list(datasets.read(f"ibug300w:{options.labels}"))
    groups = [group(record.name, options.by) for record in records]
    pairs = list(zip(records, groups, strict=True))
    train = [record for record, name in pairs if not is_held_out(name)]
    test = [record for record, name in pairs if is_held_out(name) and name not in TWINS]
    for part, path in ((train, options.train), (test, options.test)):
        datasets.write(part, f"ibug300w:{path}")
        print(f"{path}: {len(part):,} images")


if __name__ == "__main__":
    main()
