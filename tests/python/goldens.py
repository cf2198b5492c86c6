"""Decodes every golden of our own dialect with what docs/wire.md says, and encodes it again to the same bytes.

    python3 goldens.py PAGE FOLDER

A message in JSON/2 is the same message: it is held against its twin in SAMIRA/2.
"""

import json
import pathlib
import sys

from samira_client import Page

# Where the bytes of a dump's line begin and end.
HEX = slice(8, 8 + 16 * 3 - 1)


def bytes_of(golden):
    """The bytes that a dump shows."""
    _, _, dump = golden.read_text(encoding="utf-8").split("---\n", 2)
    return bytes.fromhex("".join(line[HEX].split("  ")[0] for line in dump.splitlines()))


def as_json(value):
    """What stands in JSON/2 for a value: a token is text there."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def main(page, folder):
    page = Page(page)
    goldens = sorted(pathlib.Path(folder).glob("chat_*__samira2.snap"))
    for golden in goldens:
        frame = bytes_of(golden)
        message, length = page.unframe(frame)
        assert length == len(frame), f"{golden.name}: bytes are left over"
        assert page.frame(message) == frame, f"{golden.name}: encodes to {page.frame(message).hex()}"
        for cut in range(len(frame)):
            assert page.unframe(frame[:cut]) is None, f"{golden.name}: whole with {cut} bytes"
        line = bytes_of(golden.with_name(golden.name.replace("__samira2", "__json2")))
        assert line.endswith(b"\n") and b"\n" not in line[:-1], f"{golden.name}: more or less than a line in JSON/2"
        assert json.loads(line) == as_json(message), f"{golden.name}: another message in JSON/2"
    assert goldens, "there are no goldens"
    print(f"{len(goldens)} goldens of SAMIRA/2 decoded and encoded again, and found equal in JSON/2")


if __name__ == "__main__":
    main(*sys.argv[1:])
