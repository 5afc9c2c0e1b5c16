"""Books are compared and repaired by the logins of whoever does it."""

import pytest

from deploy.launcher.servers import OwnServers
from shared.db.grants import Role
from tests.integration.console.commands import Commands
from tests.integration.db.logins import (
    StaffedWorld,
    acting,
    console_environment,
)
from tests.support.books import Books, counts

BECAUSE = ("--reason", "확인", "--yes", "--json")


pytestmark = pytest.mark.usefixtures("logins_of_all")


@pytest.mark.parametrize("role", [Role.WORKER, Role.CONSOLE])
def test_books_are_compared_by_a_worker_and_by_an_operator(
    staffed: StaffedWorld, role: Role
) -> None:
    books = Books(staffed)

    async def scenario() -> None:
        payment, lost = await books.live(2)
        books.cancel(payment, 1_000)
        books.sandbox.book.forget(lost.imp_uid)
        with acting(role):
            found = {"refund_differs": 1, "ours_only": 1}
            assert counts(await books.compare()) == found
            # Once more, when every row is there already.
            assert counts(await books.compare()) == found

    staffed.run(scenario())


def test_a_difference_is_repaired_by_the_consoles_login(
    staffed: StaffedWorld, module_url: str, servers: OwnServers
) -> None:
    books = Books(staffed)

    async def scenario() -> None:
        adopted, paid_twice = await books.live(2)
        books.cancel(adopted, 1_000)
        books.enter(paid_twice.order.merchant_uid, key=paid_twice.order.customer_uid)
        await books.compare()

    staffed.run(scenario())
    url = servers.valkey.url.removesuffix("/0") + "/8"
    dalmada = Commands(console_environment(module_url, url))
    for row in staffed.run(staffed.rows("SELECT id, repair FROM discrepancies")):
        assert row.repair == "adopt"
        # Twice of one payment: the second hint finds the first one's row.
        done = dalmada("reconcile", "repair", str(row.id), *BECAUSE)
        assert (done.status, done.err) == (0, "")
        staffed.run(staffed.rows("UPDATE discrepancies SET status = 'open', decided_at = NULL"))
        done = dalmada("reconcile", "repair", str(row.id), *BECAUSE)
        assert (done.status, done.err) == (0, "")
    for arguments in (("reconcile", "--json"), ("reconcile", "list"), ("reconcile", "runs")):
        assert "permission denied" not in dalmada(*arguments).err
