"""Write the hashes and sizes of the shipped weights into their catalogue.

    python scripts/pin_weights.py [CATALOGUE]

Run it after a weights file in ``src/facekit/bundled`` has changed. Everything else in the
catalogue, comments too, stays as it is; entries with a URL are not touched.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from facekit import atomic
from facekit.weights import BUNDLED, Catalogue, sha256


def pinned(text: str, name: str, values: dict[str, str]) -> str:
    """Return a TOML text with other values for some keys of one table.

    Args:
        text: The catalogue.
        name: The table.
        values: By key, as TOML source; the keys must be there.

    Raises:
        SystemExit: If the table or a key is missing.
    """
    table = re.search(rf"^\[{re.escape(name)}\]\n(?:(?!\[).*\n?)*", text, flags=re.MULTILINE)
    if table is None:
        raise SystemExit(f"no table [{name}]")
    changed = table[0]
    for key, value in values.items():
        changed, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", changed, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"[{name}] has {count} lines of {key!r}, expected one")
    return text[: table.start()] + changed + text[table.end() :]


def main(arguments: list[str]) -> None:
    """Pin every shipped file that exists."""
    path = Path(arguments[0]) if arguments else BUNDLED / "weights.toml"
    text = path.read_text(encoding="utf-8")
    catalogue = Catalogue.load(path)
    for name, entry in catalogue.entries.items():
        file = catalogue.path(name)
        if not entry.bundled:
            continue
        if not file.is_file():
            print(f"{name}: {file} does not exist, left as it is", file=sys.stderr)
            continue
        digest, size = sha256(file), file.stat().st_size
        text = pinned(text, name, {"sha256": f'"{digest}"', "size": str(size)})
        print(f"{name}: {size} bytes, sha256 {digest}")
    atomic.write_text(path, text)


if __name__ == "__main__":
    main(sys.argv[1:])
