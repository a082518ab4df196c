"""Parts of a dataset that share no photo and no person.

Images are gathered into groups by a key; a group is never divided. Which part a group goes to
follows from a hash of its key and the seed, not from the order of the records. Groups are
ordered by the size of their faces first, so that every part has small and large ones alike.
Mirrored twins (``a.jpg``, ``a_mirror.jpg``) are always of one group.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from facekit.datasets.findings import place_of
from facekit.datasets.formats import Losses, parse, write
from facekit.datasets.records import ImageRecord
from facekit.datasets.sources import Source, reader, spared
from facekit.errors import ConfigError, DatasetError

__all__ = ["DEFAULT_FRACTION", "KEYS", "Plan", "group_key", "plan", "split"]

DEFAULT_FRACTION: Final = 0.95

_MIRROR: Final = "_mirror"
_NUMBER: Final = re.compile(r"[\s_.-]*\d+$")
_BINS_PER_OCTAVE: Final = 2
_MOST_PARTS: Final = 100


def _unmirrored(record: ImageRecord) -> PurePosixPath:
    """Return an image's name without suffix and without the mark of a mirrored copy."""
    path = PurePosixPath(record.name)
    return path.with_name(path.stem.removesuffix(_MIRROR) or path.stem)


def _photo(record: ImageRecord) -> str:
    return str(_unmirrored(record))


def _stem(record: ImageRecord) -> str:
    return _unmirrored(record).name


def _person(record: ImageRecord) -> str:
    stated = record.attributes.get("person")
    if stated is not None:
        return str(stated)
    path = _unmirrored(record)
    # A stem of digits alone numbers the photos of the person who names the folder.
    return _NUMBER.sub("", path.name) or path.parent.name or path.name


KEYS: Final[Mapping[str, Callable[[ImageRecord], str]]] = {
    "photo": _photo,
    "person": _person,
    "stem": _stem,
}
"""The rules by name.

``photo``: folder and stem. ``stem``: the stem in whatever folder. ``person``: the image's
attribute ``person``, else the stem without its number (``Ann_Lee_03`` is ``Ann_Lee``), else the
folder of a file that has nothing but a number.
"""


def group_key(by: str) -> Callable[[ImageRecord], str]:
    """Return what tells the group of a record.

    Args:
        by: A name of :data:`KEYS`, or a regular expression that is searched in the image's name,
            without ``_mirror`` and suffix; its first group, or else the whole match, is the key.

    Returns:
        A function; of a name that the expression does not match it raises
        :class:`~facekit.errors.DatasetError`.

    Raises:
        ConfigError: If it is neither.
    """
    if by in KEYS:
        return KEYS[by]
    try:
        pattern = re.compile(by)
    except re.error as error:
        message = f"by {by!r}: neither {', '.join(KEYS)} nor a regular expression: {error}"
        raise ConfigError(message) from None

    def key(record: ImageRecord) -> str:
        match = pattern.search(_photo(record))
        if match is None:
            where = place_of(record)
            reason = f"{record.name!r} does not match {by!r}; rules by name: {', '.join(KEYS)}"
            raise DatasetError(where.file, where.line, reason)
        # A group that took no part in the match is None.
        return next((text for text in match.groups() if text is not None), match[0])

    return key


@dataclasses.dataclass(slots=True)
class _Group:
    """One group: how many images, and the sum of the logarithms of its faces' heights."""

    images: int = 0
    faces: int = 0
    logs: float = 0.0

    def add(self, record: ImageRecord) -> None:
        self.images += 1
        for face in record.faces:
            if not face.ignore and face.height > 0:
                self.faces += 1
                self.logs += math.log2(face.height)

    @property
    def stratum(self) -> int:
        """Which half octave the faces' geometric mean height is in; without faces the first."""
        if not self.faces:
            return -1_000_000
        # Sums in another order differ in their last digits, which must not decide.
        return math.floor(round(self.logs / self.faces, 6) * _BINS_PER_OCTAVE)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which part each group goes to.

    Attributes:
        parts: The part's number, from 0, by the group's key.
        key: What tells the group of a record.
        images: How many images each part has.
    """

    parts: Mapping[str, int]
    key: Callable[[ImageRecord], str]
    images: tuple[int, ...]

    def part_of(self, record: ImageRecord) -> int:
        """Return the part of a record, from 0.

        Raises:
            DatasetError: If its group was not there when the plan was made.
        """
        key = self.key(record)
        if key not in self.parts:
            where = place_of(record)
            raise DatasetError(where.file, where.line, f"{record.name} was not there before")
        return self.parts[key]


def plan(
    records: Iterable[ImageRecord],
    fractions: Sequence[float] = (DEFAULT_FRACTION, 1 - DEFAULT_FRACTION),
    *,
    by: str = "photo",
    seed: int = 0,
) -> Plan:
    """Decide which part each group goes to. Memory grows with the number of groups.

    Args:
        records: Any stream of records, in any order.
        fractions: Each part's share of the images; they add up to 1.
        by: See :func:`group_key`.
        seed: Another seed gives another split.

    Raises:
        DatasetError: If there are fewer groups than parts.
        ConfigError: If the fractions or ``by`` are wrong.
    """
    shares = _checked(fractions)
    key = group_key(by)
    groups: dict[str, _Group] = {}
    for record in records:
        groups.setdefault(key(record), _Group()).add(record)
    if len(groups) < len(shares):
        reason = f"{len(groups)} groups by {by} cannot make {len(shares)} parts"
        raise DatasetError("split", None, reason)
    order = sorted(groups, key=lambda name: (groups[name].stratum, _digest(name, seed), name))
    parts, images = _dealt(order, groups, shares)
    return Plan(parts, key, tuple(images))


def _checked(fractions: Sequence[float]) -> tuple[float, ...]:
    """Check the parts' shares."""
    shares = tuple(fractions)
    if not 2 <= len(shares) <= _MOST_PARTS:  # noqa: PLR2004 - a split has two sides
        raise ConfigError(f"fractions: 2 to {_MOST_PARTS} parts, got {len(shares)}")
    if not all(0 < share < 1 for share in shares) or not math.isclose(sum(shares), 1):
        raise ConfigError(f"fractions: each above 0 and together 1, got {shares}")
    return shares


def _digest(name: str, seed: int) -> bytes:
    """Return a number that looks random, the same on every machine."""
    return hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()


def _dealt(
    order: Sequence[str], groups: Mapping[str, _Group], shares: Sequence[float]
) -> tuple[dict[str, int], list[int]]:
    """Deal groups out: each to the part that is farthest behind its share so far."""
    parts: dict[str, int] = {}
    images = [0] * len(shares)
    total = 0
    for name in order:
        size = groups[name].images
        total += size
        behind = [share * total - count for share, count in zip(shares, images, strict=True)]
        part = behind.index(max(behind))
        parts[name] = part
        images[part] += size
    for part in range(len(shares)):
        if not images[part]:
            _lend(part, parts, groups, images)
    return parts, images


def _lend(
    part: int, parts: dict[str, int], groups: Mapping[str, _Group], images: list[int]
) -> None:
    """Give an empty part the smallest group of the part that has the most groups."""
    counts = [list(parts.values()).count(number) for number in range(len(images))]
    rich = counts.index(max(counts))
    name = min((n for n, p in parts.items() if p == rich), key=lambda n: (groups[n].images, n))
    parts[name] = part
    images[rich] -= groups[name].images
    images[part] += groups[name].images


def split(
    source: Source,
    targets: Sequence[str],
    fractions: Sequence[float] = (DEFAULT_FRACTION,),
    *,
    by: str = "photo",
    seed: int = 0,
) -> list[Losses]:
    """Write the parts of a dataset. The source is read once to plan, and once for each part.

    Args:
        source: ``FORMAT:PATH``, or a function that starts to read the records again.
        targets: ``FORMAT:PATH`` of each part, at least two.
        fractions: Each part's share of the images; the last one's may be left out.
        by: See :func:`group_key`.
        seed: Another seed gives another split.

    Returns:
        Of each part what was written, and what its format could not hold.

    Raises:
        ConfigError: If the fractions do not suit the targets, ``by`` is wrong, or a part would
            overwrite the source.
        OutputError: If a part cannot be written.
        DatasetError: If there are fewer groups than parts, or a line is malformed.
    """
    places = [parse(target)[1].resolve() for target in targets]
    if len(set(places)) < len(places):
        raise ConfigError(f"two parts cannot be written to one place: {', '.join(targets)}")
    shares = tuple(fractions)
    if len(shares) == len(targets) - 1:
        shares = (*shares, 1 - sum(shares))
    if len(shares) != len(targets):
        raise ConfigError(f"{len(targets)} parts need that many fractions, got {len(shares)}")
    start = reader(source)
    decided = plan(spared(start(), *targets), shares, by=by, seed=seed)
    return [
        write((one for one in start() if decided.part_of(one) == part), target)
        for part, target in enumerate(targets)
    ]
