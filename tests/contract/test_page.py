"""docs/portone-v1.md is what the code says, and every operation has all that it promises."""

from deploy.sandbox.routes import GATEWAY
from tests.contract.page import PAGE, parts, sandbox_name, written
from tests.contract.surface import surface
from tests.contract.validation import operation_of


def test_the_page_is_made_of_the_code() -> None:
    page = PAGE.read_text("utf-8")

    assert page == written(page), "write it anew: python -m tests.contract.page"


def test_every_operation_has_a_client_a_sandbox_and_a_contract_test() -> None:
    _, _, *rows = parts()["operations"].splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]

    assert {row[0].strip("`") for row in cells} == set(surface().operations)
    assert all(len(row) == 6 and all(row) for row in cells)


def test_the_sandbox_has_no_operation_that_portone_has_not() -> None:
    names = {sandbox_name(operation) for operation in surface().operations.values()}

    for endpoint in GATEWAY:
        assert operation_of(endpoint.method, endpoint.path) is not None, endpoint.path
    assert {endpoint.name for endpoint in GATEWAY} == names
