"""Roles: every process can do its work with its own role's rights, and nothing beside it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from deploy.launcher.servers import OwnServers
from shared.billing.delivery import Answer
from shared.billing.inquiry import RecordStatus, StillUnresolved
from shared.billing.outcome import Declined
from shared.clock import WallClock
from shared.db import endpoints, migrate, roles
from shared.db.grants import EVERY, GRANTS, HIDDEN, UNGRANTED, Role
from shared.db.invariant import Bounds
from shared.db.invariants import INVARIANTS
from shared.db.tables import metadata
from tests.integration.console.commands import Commands
from tests.integration.db.logins import (
    StaffedWorld,
    acting,
    console_environment,
    login_of,
    url_as,
)
from tests.integration.services.test_relay import Told
from tests.simulation.installation import host_on
from tests.simulation.lives import Climate, live
from tests.support.billing import QUIET
from tests.support.book import record_of
from tests.support.databases import fresh_database
from tests.support.endpoints import EndpointDesk
from tests.support.endpoints import Told as Endpoint
from tests.support.keys import Shop, owing
from tests.support.refunds import RefundBook, RefundDesk, Way
from worker.services.check import Checked, CheckInvariants
from worker.services.relay import RelayEvents

BECAUSE = ("--reason", "요청", "--yes", "--json")
ON_WISH = (*BECAUSE, "--requester", "customer")
LIVES = (1, 2, 3)
STORMY = Climate(subscriptions=12, days=60, storms=3, outages=0)


pytestmark = pytest.mark.usefixtures("logins_of_all")


class TestTheProcesses:
    @pytest.mark.parametrize("seed", LIVES)
    def test_live_through_storms_by_their_logins(self, servers: OwnServers, seed: int) -> None:
        with fresh_database(servers.postgres) as url:
            worker, scan = (url_as(url, login_of(role)) for role in (Role.WORKER, Role.SCHEDULER))
            with host_on(url, {"worker": worker, "scan": scan}) as host:
                verdict = live(host, seed, STORMY)
        assert host.refused == []
        assert not verdict.violations, (verdict.violations, verdict.notes)
        assert verdict.charges > 0

    def test_change_keys_and_take_payments_by_their_logins(self, staffed: StaffedWorld) -> None:
        staffed.run(keys_and_hints(staffed))
        assert {row.status for row in staffed.run(staffed.rows("SELECT status FROM windows"))} == {
            "confirmed",
            "expired",
            "failed",
        }

    def test_relay_events_by_their_logins(self, staffed: StaffedWorld) -> None:
        staffed.run(staffed.open_invoices(2))
        staffed.run(staffed.charge_all())
        told = Told()
        assert staffed.run(staffed.scan_relay()) == 1
        relay = RelayEvents(staffed.database, told, staffed.clock, 100)
        assert staffed.run(relay()) == len(told.events) > 4
        assert staffed.run(staffed.scan_relay()) == 0

    def test_look_at_invariants_by_their_logins(self, staffed: StaffedWorld) -> None:
        staffed.run(staffed.open_invoices(2))
        staffed.run(staffed.charge_all())
        for _ in range(2):
            looked = CheckInvariants(staffed.database, staffed.clock, Bounds())
            assert staffed.run(looked()) == Checked(len(INVARIANTS), 0, 0)

    def test_deliver_events_by_their_logins(self, staffed: StaffedWorld) -> None:
        async def scenario() -> None:
            desk = EndpointDesk(staffed, told := Endpoint())
            with acting(Role.CONSOLE):
                endpoint_id = await desk.add()
            await desk.happen((await staffed.subscribe())[0], 2)
            told.script.append(Answer(410, "HTTP 410"))
            with acting(Role.SCHEDULER):
                (job,) = await desk.scan()
            assert await desk.work(job.delivery_ids) == ["failed"]
            with acting(Role.CONSOLE):
                await staffed.database.run(
                    lambda connection: endpoints.enable(
                        connection, endpoint_id, staffed.clock.now()
                    )
                )
            with acting(Role.SCHEDULER):
                (job,) = await desk.scan()
            assert await desk.work(job.delivery_ids) == ["delivered"] * 3

        staffed.run(scenario())


async def keys_and_hints(world: StaffedWorld) -> None:
    """Live through everything that windows, hints and billing keys can come to."""
    shop = Shop(world)
    asked = await shop.ask(buyer_name="홍길동", buyer_email="hong@example.com")
    await shop.confirm(asked, shop.book.register(asked))
    assert await shop.read() == ["confirmed"]
    (invoice_id,) = await owing(world)
    await world.charge_all()
    # Another method, after which what is owed is due at once.
    changed = await shop.change()
    world.pass_time(timedelta(seconds=1))
    await shop.confirm(changed, shop.book.register(changed))
    assert await shop.read() == ["confirmed"]
    # A single payment; one that the gateway does not prepare; a window that is left.
    paid = await shop.request_payment()
    await shop.advance()
    imp_uid = shop.book.enter(paid["merchant_uid"], 14_000)
    await shop.confirm_payment(paid, imp_uid)
    assert await shop.read() == ["confirmed"]
    shop.book.refusals.append("결제정보 사전등록에 실패하였습니다")
    await shop.request_payment(order_name="사전등록")
    await shop.advance()
    await shop.change()
    world.pass_time(timedelta(hours=2))
    await shop.advance()
    # What somebody says of payments: one was cancelled elsewhere, one nobody asked for.
    shop.book.cancel(imp_uid, 4_000, "관리자 취소", "cancellation-1")
    await shop.webhook(imp_uid, paid["merchant_uid"], status="cancelled")
    await shop.webhook(shop.book.enter("nobodys", 1_000))
    await shop.webhook((await world.attempt(invoice_id)).imp_uid, status="cancelled")
    await shop.read_on()
    world.pass_time(timedelta(days=8))
    await shop.read()
    assert [row.finding for row in await world.rows("SELECT finding FROM hints")] == [
        "unrecognized"
    ]
    await world.rows("UPDATE subscriptions SET status = 'canceled', next_renewal_at = NULL")
    assert (await shop.delete())["status"] == "deleting"
    await shop.advance()
    assert await shop.remove() == ["deleted"]


class TestTheConsole:
    @pytest.fixture
    def dalmada(self, module_url: str, servers: OwnServers) -> Commands:
        url = servers.valkey.url.removesuffix("/0") + "/8"
        return Commands(console_environment(module_url, url))

    def test_steers_subscriptions_keys_and_payments_by_its_login(
        self, staffed: StaffedWorld, dalmada: Commands
    ) -> None:
        added = dalmada.add("--buyer-name", "심청이", "--buyer-tel", "010-2210-8841")
        done: dict[str, Any] = {}
        desk = RefundDesk(staffed, RefundBook(staffed.clock))
        (payment,) = staffed.run(desk.payments())
        key = staffed.run(staffed.rows("SELECT * FROM billing_keys ORDER BY id"))[-1]
        window = ("--customer-uid", "-", "--amount", "9900", "--name", "슬림", "--buyer-tel")
        for arguments in (
            ("status", "--json"),
            ("subscription", "list", "--json"),
            ("subscription", "show", str(added.id), "--json"),
            ("invoice", "list", "--json"),
            ("invoice", "show", str(payment.invoice_id), "--json"),
            ("payment", "list", "--json"),
            ("payment", "show", payment.imp_uid, "--json"),
            ("payment", "refund", "--imp-uid", payment.imp_uid, "--all", *ON_WISH),
            ("billing-key", "list", "--json"),
            ("billing-key", "show", str(key.id), "--json"),
            ("billing-key", "change", *window, "010-1234-5678", "--yes", "--json"),
            ("subscription", "cancel", str(added.id), "--when", "now", *ON_WISH),
            ("audit", "list", "--json"),
        ):
            printed = dalmada(*arguments, stdin=key.customer_uid)
            assert "permission denied" not in printed.err
            assert arguments[0] == "status" or printed.status == 0, (arguments, printed.err)
            done[" ".join(arguments[:2])] = printed.json
        registered = dalmada(
            *("billing-key", "register", *window, "010-1234-5678", "--yes", "--json"), stdin="new"
        )
        assert registered.json["status"] == "ready"
        assert done["status --json"]["database"] == {"reachable": True, "error": None}
        assert len(done["audit list"]["entries"]) >= 4

    def test_steers_the_lives_of_subscriptions_by_its_login(
        self, staffed: StaffedWorld, dalmada: Commands
    ) -> None:
        staffed.clock.instant = WallClock().now()
        consent = ("--consent-at", staffed.clock.now().isoformat(), "--consent-shown", "mail 2")
        method = ("--consent-payment-method", "신한카드")
        agreed = (*consent, "--consent-evidence", "click 991", *method)
        because = ("--reason", "요청", "--requester", "customer")
        terms = ("--amount", "9900", "--name", "슬림", "--product", "slim", "--buyer-ref", "m-7")
        begun = dalmada(
            *("subscription", "start", "--customer-uid", "-", *terms, "--trial-days", "7"),
            *("--setup-amount", "5000", "--setup-name", "가입비", *agreed, "--yes", "--json"),
            stdin="new",
        )
        assert begun.status == 0, begun.err
        trial = begun.json["subscription_id"]
        (invoice_id,) = staffed.run(staffed.open_invoices())
        staffed.gateway.script.append(Declined("잔액 부족", "imp_1"))
        staffed.run(staffed.charge_all())
        identity = str(staffed.run(staffed.invoice(invoice_id)).subscription_id)
        more = ("subscription", "change", identity, "--requester", "admin", "--quantity", "2")
        change = str(dalmada(*more, "--yes", "--json").json["change_id"])
        converted = ("--kind", "trial_conversion", "--amount-after", "9900", *agreed)
        # What is not paid is not prorated.
        anew = ("--now", "--no-prorate", "--every", "week", "--count", "2", *agreed)
        for arguments in (
            ("subscription", "consent", trial, *converted),
            ("subscription", "withdraw-change", identity, change),
            ("subscription", "change", identity, "--requester", "customer", *anew),
            ("subscription", "adjust", identity, "--for", "보상", "--credit", "500"),
            ("subscription", "pause", identity, *because, "--when", "period_end"),
            ("subscription", "resume", identity),
            ("subscription", "dunning", identity, "--off"),
            ("invoice", "retry", str(invoice_id)),
            ("subscription", "cancel", identity, "--when", "period_end", *because),
            ("subscription", "reactivate", identity),
            ("price", "change", "--product", "slim", "--amount", "12000", "--from", "2090-01-01"),
        ):
            done = dalmada(*arguments, "--yes", "--json")
            assert (done.status, done.err) == (0, ""), arguments
        shown = dalmada("subscription", "show", identity, "--json")
        assert (shown.status, shown.err) == (0, "")
        assert "permission denied" not in dalmada("status", "--json").err

    def test_looks_at_invariants_by_its_login(
        self, staffed: StaffedWorld, dalmada: Commands
    ) -> None:
        staffed.run(staffed.open_invoices(2))
        for arguments in (("doctor", "--json"), ("doctor", "--all", "--json")):
            printed = dalmada(*arguments)
            assert printed.err == ""
            assert [each["error"] for each in printed.json["invariants"]] == [None] * len(
                INVARIANTS
            )
            parts = {each["name"]: each["found"] for each in printed.json["environment"]}
            assert parts["login"] == "test_dalmada_console is in dalmada_console"
            assert parts["rights"] == "those of this version"

    def test_takes_a_key_away_by_its_login(self, staffed: StaffedWorld, dalmada: Commands) -> None:
        added = dalmada.add()
        staffed.run(
            staffed.rows("UPDATE subscriptions SET status = 'canceled', next_renewal_at = NULL")
        )
        (key,) = staffed.run(staffed.rows("SELECT id FROM billing_keys"))
        done = dalmada("billing-key", "delete", str(key.id), *ON_WISH)
        assert (done.status, done.err) == (0, ""), added

    @pytest.mark.parametrize("deed", ["requeue", "discard"])
    def test_decides_dead_letters_by_its_login(
        self, staffed: StaffedWorld, dalmada: Commands, deed: str
    ) -> None:
        staffed.run(letters_of_every_kind(staffed))
        letters = staffed.run(staffed.rows("SELECT id, kind FROM dead_letters ORDER BY id"))
        assert {letter.kind for letter in letters} == {"attempt", "payment", "refund"}
        for letter in letters:
            dalmada("dead-letter", "show", str(letter.id), "--json")
            done = dalmada("dead-letter", deed, str(letter.id), *BECAUSE)
            assert (done.status, done.err) == (0, ""), letter
        listed = dalmada("dead-letter", "list", "--all", "--json").json["dead_letters"]
        assert {item["resolution"] for item in listed} == {
            {"requeue": "requeued", "discard": "discarded"}[deed]
        }


async def letters_of_every_kind(world: StaffedWorld) -> None:
    """Bring an attempt, a refund and a payment to where a person must decide."""
    shop, desk = Shop(world), RefundDesk(world, RefundBook(world.clock))
    (invoice_id,) = await world.open_invoices()
    (claim,) = await world.claim([invoice_id])
    now = world.clock.now()
    world.gateway.enter(record_of(claim, RecordStatus.CANCELLED, now, cancel_amount=1), claim)
    world.pass_time(QUIET)
    assert await world.inquire_all() == ["parked"]
    (payment,) = await desk.payments()
    await desk.ask(payment, 1_000)
    desk.gateway.script.append(Way.REQUEST_LOST)
    desk.gateway.lookups.extend([StillUnresolved("HTTP 500")] * 200)
    assert (await desk.finish())[-1] == "parked"
    await shop.webhook(shop.book.enter("nobodys", 1_000))
    assert await shop.read() == ["unrecognized"]


EVERYWHERE = [
    "TRUNCATE payments",
    "TRUNCATE audit_log",
    "DROP TABLE payments",
    "ALTER TABLE payments ADD COLUMN mine text",
    "ALTER TABLE payments DISABLE TRIGGER ALL",
    "CREATE TABLE mine (id int)",
    "CREATE INDEX ON payments (created_at)",
    "UPDATE audit_log SET actor = 'somebody else'",
    "DELETE FROM audit_log",
    "DELETE FROM payments",
    "DELETE FROM refunds",
    "DELETE FROM payment_attempts",
    "DELETE FROM invoices",
    "DELETE FROM events",
    "DELETE FROM commands",
    "DELETE FROM dead_letters",
    "DELETE FROM endpoints",
    "DELETE FROM deliveries",
    "UPDATE deliveries SET event_id = 1",
    "UPDATE payments SET amount = 0",
    "UPDATE payments SET imp_uid = 'imp_other'",
    "UPDATE invoices SET amount = 1",
    "UPDATE payment_attempts SET merchant_uid = 'other'",
    "UPDATE payment_attempts SET amount = 1",
    "UPDATE payment_attempts SET reserved_for = now()",
    "UPDATE reservations SET amount = 1",
    "UPDATE reservations SET merchant_uid = 'other'",
    "UPDATE reservations SET schedule_at = now()",
    "DELETE FROM reservations",
    "UPDATE refunds SET amount = 1",
    "UPDATE subscriptions SET buyer_ref = 'another'",
    "UPDATE subscriptions SET time_zone = 'UTC'",
    "UPDATE subscriptions SET billing_key_id = 1",
    "UPDATE consents SET given_at = now()",
    "UPDATE consents SET amount_after = 1",
    "UPDATE adjustments SET amount = 1",
    "UPDATE agreement_changes SET amount = 1",
    "DELETE FROM consents",
    "DELETE FROM trials",
    "UPDATE billing_keys SET customer_uid = 'stolen'",
    "UPDATE events SET data = '{}'",
    "UPDATE commands SET digest = ''",
    "UPDATE dead_letters SET payload = '{}'",
    "SELECT version_num FROM alembic_version",
    "UPDATE alembic_version SET version_num = '0001'",
    "SET ROLE dalmada",
    "COPY payments TO '/tmp/payments'",
]
PAID = "subscription_id, period_index, period_start_at, period_end_at, amount, tax_free, order_name"
FORBIDDEN: Mapping[Role, list[str]] = {
    Role.SCHEDULER: [
        "SELECT customer_uid FROM billing_keys",
        "SELECT buyer_name FROM billing_keys",
        "SELECT * FROM billing_keys",
        "SELECT parameters FROM windows",
        "SELECT cancel_reason FROM subscriptions",
        "SELECT FROM payments",
        "SELECT result FROM commands",
        "SELECT FROM dead_letters",
        "SELECT FROM audit_log",
        "SELECT data FROM events",
        "INSERT INTO payments (imp_uid, merchant_uid, amount, tax_free) VALUES ('a', 'b', 1, 0)",
        f"INSERT INTO invoices ({PAID}, status) SELECT {PAID}, 'paid' FROM invoices",  # noqa: S608
        "INSERT INTO refunds (payment_id, amount, tax_free) VALUES (1, 1, 0)",
        # What is reserved becomes an attempt, but never one whose outcome is known.
        "INSERT INTO payment_attempts (invoice_id, number, imp_uid) VALUES (1, 1, 'imp_other')",
        "INSERT INTO payment_attempts (invoice_id, number, settled_at) VALUES (1, 1, now())",
        "SELECT merchant_uid FROM payment_attempts",
        "INSERT INTO gateway_holds (cause) VALUES ('none')",
        "UPDATE invoices SET status = 'paid'",
        "UPDATE invoices SET paid_at = now()",
        "UPDATE invoices SET declines = 0",
        "UPDATE payment_attempts SET status = 'paid'",
        "UPDATE payment_attempts SET lease_until = now()",
        "UPDATE refunds SET status = 'done'",
        "UPDATE refunds SET checksum = 1",
        "UPDATE payments SET cancelled_amount = 0",
        "UPDATE payments SET created_at = now()",
        "UPDATE subscriptions SET canceled_at = now()",
        "UPDATE subscriptions SET closed_at = now()",
        "UPDATE subscriptions SET collect_by = 'reservation'",
        "INSERT INTO reservations (status) VALUES ('executed')",
        "SELECT shown FROM consents",
        "SELECT evidence FROM consents",
        "SELECT payment_method FROM consents",
        "INSERT INTO consents (subscription_id, kind) SELECT id, 'sign_up' FROM subscriptions",
        "INSERT INTO agreement_changes (requester) VALUES ('admin')",
        "UPDATE invoices SET lines = '[]'",
        "UPDATE billing_keys SET status = 'active'",
        "UPDATE windows SET status = 'confirmed'",
        "UPDATE events SET relayed_at = NULL",
        "SELECT secrets FROM endpoints",
        "SELECT url FROM endpoints",
        "UPDATE endpoints SET status = 'enabled'",
        "UPDATE deliveries SET status = 'delivered'",
        "DELETE FROM gateway_holds",
    ],
    Role.WORKER: [
        "INSERT INTO endpoints (url, secrets) VALUES ('https://a.example.com/', '{a}')",
        "UPDATE endpoints SET url = 'https://elsewhere.example.com/'",
        "UPDATE endpoints SET secrets = '{a}'",
        "UPDATE endpoints SET allow_private = true",
        "SELECT FROM audit_log",
        "INSERT INTO audit_log (actor, action, subject) VALUES ('somebody', 'a', 'b')",
        "INSERT INTO subscriptions (canceled_at) VALUES (now())",
        # What PortOne has executed is billed at the end of a subscription, but never as paid.
        f"INSERT INTO invoices ({PAID}, status) SELECT {PAID}, 'paid' FROM invoices",  # noqa: S608
        "INSERT INTO reservations (merchant_uid) VALUES ('other')",
        "UPDATE adjustments SET percent = 1",
        "UPDATE agreement_changes SET applied_index = 0",
        "UPDATE invoices SET period_start_at = now()",
        "UPDATE payments SET created_at = now()",
        "UPDATE refunds SET reason = 'another'",
        "UPDATE windows SET amount = 1",
        "UPDATE windows SET parameters = '{}'",
        "UPDATE dead_letters SET resolution = 'discarded'",
        "DELETE FROM hints",
        "DELETE FROM gateway_holds",
    ],
    Role.CONSOLE: [
        "INSERT INTO payments (imp_uid, merchant_uid, amount, tax_free) VALUES ('a', 'b', 1, 0)",
        "INSERT INTO payment_attempts (invoice_id, number) VALUES (1, 1)",
        f"INSERT INTO invoices ({PAID}) SELECT {PAID} FROM invoices",  # noqa: S608
        "INSERT INTO reservations (merchant_uid) VALUES ('other')",
        # A difference of the books is adopted by a hint, which says nothing of what was found.
        "INSERT INTO hints (imp_uid, said_status, known, finding) VALUES ('a', 'paid', true, 'b')",
        "INSERT INTO gateway_holds (cause) VALUES ('none')",
        "INSERT INTO audit_log (actor, action, subject, created_at) VALUES ('a', 'b', 'c', now())",
        "UPDATE payments SET cancelled_amount = 0",
        "UPDATE invoices SET paid_at = now()",
        "UPDATE payment_attempts SET imp_uid = 'imp_other'",
        "UPDATE payment_attempts SET lease_until = now()",
        "UPDATE refunds SET checksum = 1",
        "UPDATE refunds SET send_number = 0",
        "UPDATE subscriptions SET trial_end_at = now()",
        "UPDATE adjustments SET percent = 1",
        "UPDATE agreement_changes SET applied_index = 0",
        "UPDATE billing_keys SET generation = 1",
        "UPDATE windows SET imp_uid = 'imp_other'",
        "UPDATE events SET relayed_at = NULL",
        "DELETE FROM hints",
        "DELETE FROM gateway_holds",
    ],
    Role.READONLY: [
        *(
            f"SELECT {column} FROM {table}"  # noqa: S608 - made of constants only
            for table, columns in HIDDEN.items()
            for column in columns.split()
        ),
        "SELECT * FROM billing_keys",
        "SELECT FROM payments FOR UPDATE",
        "INSERT INTO commands (command_id, task, digest, result) VALUES ('a', 'b', 'c', '{}')",
        "UPDATE invoices SET dispatched_at = NULL",
        "DELETE FROM hints",
        "DELETE FROM gateway_holds",
    ],
}


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_refused_what_its_processes_never_do(module_url: str, role: Role) -> None:
    done = []
    with psycopg.connect(url_as(module_url, login_of(role))) as connection:
        for statement in [*EVERYWHERE, *FORBIDDEN[role]]:
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            except psycopg.Error as error:
                done.append(f"{statement}: {error}")
                continue
            done.append(statement)
    assert done == []


class TestTheTable:
    def test_grants_something_deliberate_of_every_table_that_there_is(
        self, module_url: str
    ) -> None:
        """Whoever adds a table says who may do what with it, or why nobody may do anything."""
        with psycopg.connect(module_url) as connection:
            found = connection.execute(
                """
                SELECT relname FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
                """
            )
            there = {name for (name,) in found}
        named = {table for tables in GRANTS.values() for table in tables}
        assert named.isdisjoint(UNGRANTED)
        assert named | set(UNGRANTED) == there
        assert named == set(metadata.tables)

    @pytest.mark.parametrize("role", list(Role))
    def test_names_columns_that_there_are(self, role: Role) -> None:
        for table, grant in GRANTS[role].items():
            there = {column.name for column in metadata.tables[table].columns}
            for columns in (grant.select, grant.insert, grant.update):
                named = columns.split()
                assert len(named) == len(set(named)), (table, columns)
                assert set(named) <= there | {EVERY}, table

    def test_shows_or_hides_every_column_from_those_who_only_look(self) -> None:
        """Whoever adds a column says whether it may tell of a person or a billing key."""
        for name, table in metadata.tables.items():
            there = {column.name for column in table.columns}
            shown = set(GRANTS[Role.READONLY][name].select.split())
            hidden = set(HIDDEN.get(name, "").split())
            if shown == {EVERY}:
                assert not hidden, name
                continue
            assert shown.isdisjoint(hidden), name
            assert shown | hidden == there, name

    def test_is_what_the_roles_of_a_migrated_database_hold(self, module_url: str) -> None:
        with migrate.locked(module_url) as connection:
            expected = {privilege for role in Role for privilege in roles.wanted(role)}
            assert roles.held(connection) == expected

    def test_is_what_they_hold_again_after_an_upgrade_whatever_was_done_by_hand(
        self, database_url: str
    ) -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute("GRANT TRUNCATE ON payments TO dalmada_worker")
            connection.execute("GRANT SELECT (customer_uid) ON billing_keys TO dalmada_readonly")
            connection.execute("REVOKE SELECT ON invoices FROM dalmada_worker")
        assert migrate.upgrade(database_url) == ()
        with migrate.locked(database_url) as connection_of_ours:
            expected = {privilege for role in Role for privilege in roles.wanted(role)}
            assert roles.held(connection_of_ours) == expected
