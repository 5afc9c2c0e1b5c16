"""The same body as a form: PortOne takes either, nested values in brackets.

``schedules[0][extra][naverUseCfm]=20260815`` is how the guide pages write it.
"""

import json
from collections.abc import Iterator
from urllib.parse import urlencode


def form_of(body: bytes) -> bytes:
    """Return a JSON object as a form of the same meaning."""
    return urlencode(list(_fields("", json.loads(body)))).encode("ascii")


def _fields(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Return the fields of one value; numbers and truths are written as in JSON."""
    match value:
        case dict():
            for key, part in value.items():
                yield from _fields(f"{name}[{key}]" if name else key, part)
        case list():
            for index, part in enumerate(value):
                yield from _fields(f"{name}[{index}]", part)
        case str():
            yield name, value
        case _:
            yield name, json.dumps(value)
