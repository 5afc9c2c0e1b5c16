"""The tables of docs/portone-v1.md: of the facts, the client's example calls, the sandbox's routes.

``python -m tests.contract.page`` writes them anew and leaves the words around them alone.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.sandbox.routes import ROUTES
from tests.contract.calls import CALLS, TOKEN
from tests.contract.surface import Operation, source, surface
from tests.contract.test_client import EXAMPLES, SAME_AS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/portone-v1.md"

_HEAD: Final = """\
| operation | Naver Pay | answers | client | sandbox | contract test |
| --- | --- | --- | --- | --- | --- |
"""


def parts() -> dict[str, str]:
    """Give what stands between the marks of the page, by their names."""
    table, origin = surface(), source()
    rows = map(_row, sorted(table.operations.values(), key=_by_path))
    return {
        "source": (
            f"[{origin.path}]({origin.repository}/blob/main/{origin.path}), commit"
            f" `{origin.commit}`,\n{origin.size:,} bytes, sha256 `{origin.sha256}`\n"
        ),
        "operations": _HEAD + "".join(rows),
        "for others": _listed(table.for_others),
        "of no payment": _listed(table.of_no_payment),
    }


def written(page: str) -> str:
    """Give a page with what stands between its marks made anew."""
    for name, text in parts().items():
        begin, end = f"<!-- made of the code: {name} -->", "<!-- end -->"
        between = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        assert between.search(page), f"the page has no place for {name}"
        page = between.sub(f"{begin}\n{text}{end}", page)
    return page


def _by_path(operation: Operation) -> tuple[str, str]:
    return operation.path, operation.method


def _row(operation: Operation) -> str:
    # An operation that is another one under a second path is called and shown under the first.
    called = SAME_AS.get(operation.name, operation.name)
    examples = [
        (f"`{call.method}`", f"`{name}`")
        for call, name in zip(CALLS, EXAMPLES, strict=True)
        if call.operation == called
    ]
    if called == TOKEN:
        examples = [("whichever is first", f"`{EXAMPLES[0]}`")]
    client = ", ".join(dict.fromkeys(method for method, _ in examples))
    cells = (
        f"`{operation.name}`",
        "named" if operation.names_naver else "all",
        ", ".join(map(str, operation.answers)),
        client if called == operation.name else f"{client}, by `{called.partition(' ')[2]}`",
        f"`{sandbox_name(operation)}`",
        ", ".join(name for _, name in examples),
    )
    return f"| {' | '.join(cells)} |\n"


def sandbox_name(operation: Operation) -> str:
    """Say what the sandbox calls the endpoint of an operation."""
    match = ROUTES.match(operation.method, operation.path)
    assert match is not None, f"the sandbox does not know {operation.name}"
    assert match.endpoint.path == operation.path, f"{match.endpoint.path} takes {operation.path}"
    assert match.endpoint.name is not None
    return match.endpoint.name


def _listed(names: Iterable[str]) -> str:
    """List operations by path, with all methods of each."""
    methods: dict[str, list[str]] = {}
    for name in names:
        method, _, path = name.partition(" ")
        methods.setdefault(path, []).append(method)
    return "".join(f"- `{', '.join(methods[path])} {path}`\n" for path in sorted(methods))


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
