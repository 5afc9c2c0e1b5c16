"""`dalmada subscription add`."""

import os
import pty
import re
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row

from shared.billing.merchant_uid import merchant_uid
from shared.clock import WallClock
from tests.integration.console.commands import ADD, CHECKOUT, KEY, PATIENCE_S, PROGRAM, Commands
from tests.integration.console.deeds import ACTOR, audited
from tests.integration.console.proxies import cutting_proxy
from tests.support.billing import World

FROM_STDIN = ("--customer-uid", "-")
KEY_STATEMENT = "SELECT customer_uid, buyer_name, buyer_email, buyer_tel FROM billing_keys"


def stored(world: World) -> list[Row[Any]]:
    return world.run(
        world.rows(
            """
            SELECT s.*, k.customer_uid, k.buyer_name, k.buyer_email, k.buyer_tel
            FROM subscriptions s JOIN billing_keys k ON k.id = s.billing_key_id
            """
        )
    )


def test_a_subscription_is_stored_as_it_was_typed(dalmada: Commands, world: World) -> None:
    done = dalmada(
        *("subscription", "add", *FROM_STDIN, "--amount", "12000", "--tax-free", "2000"),
        *("--name", "연간 이용권", "--every", "year", "--count", "2"),
        *("--anchor", "2032-02-29T09:30", "--zone", "Asia/Seoul", "--first-period", "1"),
        *("--buyer-name", "홍길동", "--buyer-email", "gd@example.com", "--buyer-tel", "010-1"),
        stdin=f"{KEY}\n",
    )
    assert done.status == 0, done.err
    (row,) = stored(world)
    assert (row.customer_uid, row.amount, row.tax_free) == (KEY, 12_000, 2_000)
    assert (row.order_name, row.interval_unit, row.interval_count) == ("연간 이용권", "year", 2)
    assert row.anchor_at == datetime(2032, 2, 29, 0, 30, tzinfo=UTC)
    assert (row.time_zone, row.status, row.next_period_index) == ("Asia/Seoul", "active", 1)
    # Two years after a leap day the month ends on the 28th.
    assert row.next_renewal_at == datetime(2034, 2, 28, 0, 30, tzinfo=UTC)
    assert (row.buyer_name, row.buyer_email, row.buyer_tel) == ("홍길동", "gd@example.com", "010-1")
    assert world.run(world.events("subscription.created"))
    (entry,) = audited(world)
    assert (entry.actor, entry.action) == (ACTOR, "subscription add")
    assert (entry.subject, entry.reason) == (f"subscription {row.id}", None)


def test_people_read_the_id_the_first_renewal_twice_and_the_first_merchant_uid(
    dalmada: Commands, world: World
) -> None:
    done = dalmada(*ADD, *FROM_STDIN, "--anchor", "2031-01-31", stdin=KEY)
    (row,) = stored(world)
    fields = done.fields()
    assert fields["subscription"] == str(row.id)
    assert fields["first renewal"] == "2031-01-31 00:00:00 KST (2031-01-30T15:00:00+00:00)"
    assert fields["first merchant_uid"] == merchant_uid(row.id, 0, 1)
    assert fields["order name"] == "Slim 요금제"
    assert KEY not in done.out + done.err


def test_programs_read_one_document(dalmada: Commands) -> None:
    done = dalmada.process(
        *ADD, *FROM_STDIN, "--anchor", "2031-01-31", "--json", stdin=KEY, DALMADA_REDIS_URL=None
    )
    assert done.err == ""
    document = done.json
    identity = UUID(document.pop("id"))
    assert document == {
        "amount": 9_900,
        "tax_free": 0,
        "quantity": 1,
        "order_name": "Slim 요금제",
        "product": None,
        "buyer_ref": None,
        "interval_unit": "month",
        "interval_count": 1,
        "anchor_at": "2031-01-30T15:00:00+00:00",
        "time_zone": "Asia/Seoul",
        "trial_end_at": None,
        "first_period_index": 0,
        "first_renewal_at": "2031-01-30T15:00:00+00:00",
        "first_renewal_local": "2031-01-31T00:00:00+09:00",
        "first_merchant_uid": merchant_uid(identity, 0, 1),
    }


def test_without_an_anchor_the_first_renewal_is_now(dalmada: Commands, world: World) -> None:
    before = WallClock().now().replace(microsecond=0)
    done = dalmada(*ADD, *FROM_STDIN, stdin=KEY)
    assert done.fields()["first renewal"].endswith("which is due now")
    (row,) = stored(world)
    assert before <= row.next_renewal_at <= WallClock().now()
    assert row.anchor_at == row.next_renewal_at
    assert row.next_period_index == 0


@pytest.mark.parametrize(
    ("zone", "anchor", "expected"),
    [
        ("Asia/Seoul", "2031-01-31", "2031-01-30T15:00:00+00:00"),
        ("Europe/Berlin", "2031-07-01T02:30", "2031-07-01T00:30:00+00:00"),
        ("Europe/Berlin", "2031-07-01T02:30+09:00", "2031-06-30T17:30:00+00:00"),
        ("UTC", "2031-07-01T02:30Z", "2031-07-01T02:30:00+00:00"),
        # Of a wall time that comes twice the first one is meant.
        ("Europe/Berlin", "2030-10-27T02:30", "2030-10-27T00:30:00+00:00"),
    ],
)
def test_an_anchor_is_local_in_its_zone_unless_it_has_an_offset(
    dalmada: Commands, zone: str, anchor: str, expected: str
) -> None:
    done = dalmada.add("--zone", zone, "--anchor", anchor)
    assert done.json["anchor_at"] == expected


class TestTheBillingKey:
    def test_comes_from_the_environment(self, dalmada: Commands, world: World) -> None:
        done = dalmada(*ADD, DALMADA_CUSTOMER_UID=KEY)
        assert done.status == 0, done.err
        assert [row.customer_uid for row in stored(world)] == [KEY]

    def test_is_asked_for_at_a_terminal_and_not_shown(
        self, dalmada: Commands, world: World
    ) -> None:
        terminal, stdin = pty.openpty()
        process = subprocess.Popen(
            [*PROGRAM, *ADD],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dalmada.process_environment(),
            cwd=CHECKOUT,
            start_new_session=True,
        )
        patience = threading.Timer(PATIENCE_S, process.kill)
        patience.start()
        try:
            assert process.stderr
            asked = b""
            # The space comes from getpass, when it has switched the echo off.
            while not asked.endswith(b"(not shown): "):
                read = process.stderr.read(1)
                assert read, asked.decode()
                asked += read
            os.write(terminal, f"{KEY}\n".encode())
            out, err = process.communicate()
            os.set_blocking(terminal, False)
            with pytest.raises(BlockingIOError):
                os.read(terminal, 1000)
        finally:
            process.kill()
            process.communicate()
            patience.cancel()
            os.close(terminal)
            os.close(stdin)
        assert process.returncode == 0, err
        assert KEY.encode() not in out + asked + err
        assert [row.customer_uid for row in stored(world)] == [KEY]

    def test_is_refused_as_an_argument_and_not_repeated(
        self, dalmada: Commands, world: World
    ) -> None:
        done = dalmada.process(*ADD, "--customer-uid", KEY)
        assert (done.status, done.out) == (2, "")
        assert "process list" in done.err
        assert "--customer-uid -" in done.err
        assert KEY not in done.err
        assert stored(world) == []

    def test_is_missed_where_nobody_can_be_asked(self, dalmada: Commands) -> None:
        done = dalmada(*ADD)
        assert (done.status, done.out) == (2, "")
        assert "DALMADA_CUSTOMER_UID" in done.err

    @pytest.mark.parametrize(
        ("key", "fault"),
        [
            ("", "must not be empty"),
            ("  \n", "must not be empty"),
            ("k" * 81, "80 characters at most"),
            ("planted\nsecond", "control characters"),
            (b"planted\xff", "not UTF-8"),
            ("k" * 100_000, "80 characters at most"),
        ],
        ids=["empty", "blank", "long", "two-lines", "not-text", "a-whole-file"],
    )
    def test_is_refused_without_being_repeated(
        self, dalmada: Commands, world: World, key: str | bytes, fault: str
    ) -> None:
        done = dalmada(*ADD, *FROM_STDIN, stdin=key)
        assert (done.status, done.out) == (2, "")
        assert fault in done.err
        assert "planted" not in done.err
        assert "kkkk" not in done.err
        assert stored(world) == []

    def test_that_is_known_is_used_again(self, dalmada: Commands, world: World) -> None:
        dalmada.add("--buyer-name", "홍길동")
        dalmada.add("--buyer-tel", "010-1234-5678")
        assert len({row.billing_key_id for row in stored(world)}) == 1
        assert {(row.buyer_name, row.buyer_tel) for row in stored(world)} == {
            ("홍길동", "010-1234-5678")
        }

    def test_that_is_dead_is_refused_and_nothing_is_written(
        self, dalmada: Commands, world: World
    ) -> None:
        dalmada.add("--buyer-name", "홍길동")
        world.run(world.rows("UPDATE billing_keys SET status = 'dead'"))
        done = dalmada(*ADD, *FROM_STDIN, "--buyer-name", "성춘향", stdin=KEY)
        assert (done.status, done.out) == (1, "")
        assert "this billing key is dead" in done.err
        assert [row.buyer_name for row in stored(world)] == ["홍길동"]
        assert len(audited(world)) == 1


class TestTheAmount:
    @pytest.mark.parametrize("amount", ["1", "9"])
    def test_below_the_minimum_is_refused_in_korean_and_english(
        self, dalmada: Commands, world: World, amount: str
    ) -> None:
        done = dalmada(*ADD, "--amount", amount, *FROM_STDIN, stdin=KEY)
        assert (done.status, done.out) == (1, "")
        assert "최소 결제 금액은 10원입니다." in done.err
        assert f"10 KRW or more (DALMADA_MINIMUM_AMOUNT), not {amount} KRW" in done.err
        assert stored(world) == []

    def test_is_compared_with_the_configured_minimum(self, dalmada: Commands) -> None:
        done = dalmada(*ADD, *FROM_STDIN, stdin=KEY, DALMADA_MINIMUM_AMOUNT="10000")
        assert done.status == 1
        assert "최소 결제 금액은 10,000원입니다." in done.err

    @pytest.mark.parametrize("amount", ["0", "10"])
    def test_of_nothing_or_of_the_minimum_is_taken(self, dalmada: Commands, amount: str) -> None:
        assert dalmada.add("--amount", amount).json["amount"] == int(amount)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--amount", "a lot"), "--amount"),
        (("--amount", "9900.5"), "--amount"),
        (("--amount", "9,900"), "--amount"),
        (("--amount", "-1"), "--amount"),
        (("--amount", str(2**63)), "9,223,372,036,854,775,807 KRW"),
        (("--tax-free", "9901"), "tax_free (9901) must not exceed amount (9900)"),
        (("--name", " "), "order name must not be empty"),
        (("--name", "가" * 41), "order name must have 40 characters at most, not 41"),
        (("--name", "a\tb"), "order name must not contain control characters"),
        (("--every", "fortnight"), "--every"),
        (("--count", "0"), "--count"),
        (("--count", "1201"), "--count"),
        (("--zone", "Mars/Olympus"), "'Asia/Seoul' is one"),
        (("--zone", "../etc/passwd"), "'Asia/Seoul' is one"),
        (("--anchor", "tomorrow"), "2026-01-31T09:30"),
        (("--anchor", "2031-02-30"), "2026-01-31T09:30"),
        (("--anchor", "2031-03-30T02:30", "--zone", "Europe/Berlin"), "does not exist"),
        (("--anchor", "0001-01-01"), "outside the calendar"),
        (
            ("--anchor", "9999-12-31T23:00", "--zone", "America/New_York"),
            "outside the calendar",
        ),
        (("--first-period", "-1"), "--first-period"),
        (("--first-period", "1000000"), "--first-period"),
        (("--first-period", "999999"), "beyond the calendar"),
        (("--first-period", "1", "--bill-from", "now"), "exclude each other"),
        (("--bill-from", "yesterday"), "--bill-from"),
        (("--buyer-name", "가" * 17), "buyer name must have 16 characters at most"),
        (("--buyer-email", ""), "buyer e-mail must not be empty"),
        (("--buyer-tel", "0" * 17), "buyer telephone must have 16 characters at most"),
        (("--colour", "red"), "--colour"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_wrong_value_is_refused_in_words(
    dalmada: Commands, world: World, arguments: tuple[str, ...], fault: str
) -> None:
    done = dalmada(*ADD, *FROM_STDIN, *arguments, stdin=KEY)
    assert (done.status, done.out) == (2, "")
    assert fault in done.err
    assert stored(world) == []


@pytest.mark.parametrize("missing", ["--amount", "--name", "--every"])
def test_a_missing_option_is_named(dalmada: Commands, missing: str) -> None:
    position = ADD.index(missing)
    done = dalmada(*ADD[:position], *ADD[position + 2 :], *FROM_STDIN, stdin=KEY)
    assert done.status == 2
    assert missing in done.err


class TestAnAnchorInThePast:
    """Ten daily periods lie behind; the eleventh, with index 10, is running."""

    @pytest.fixture
    def anchor(self, world: World) -> str:
        return (world.clock.now() - timedelta(days=10, hours=1)).isoformat()

    def test_is_refused_until_it_is_said_what_is_billed_first(
        self, dalmada: Commands, world: World, anchor: str
    ) -> None:
        done = dalmada(*ADD, "--every", "day", "--anchor", anchor, *FROM_STDIN, stdin=KEY)
        assert (done.status, done.out) == (2, "")
        words = " ".join(done.err.split())
        assert "lies in the past; period 10, from" in words
        assert re.search(r"--bill-from now period 11, on \d{4}-\d\d-\d\d", words)
        assert "--first-period 10 the running period, at once" in words
        assert "--bill-from anchor period 0: of all 11 periods that have begun" in words
        assert stored(world) == []

    def test_bills_the_next_period_from_now_on(
        self, dalmada: Commands, world: World, anchor: str
    ) -> None:
        done = dalmada.add("--every", "day", "--anchor", anchor, "--bill-from", "now")
        assert done.json["first_period_index"] == 11
        assert datetime.fromisoformat(done.json["first_renewal_at"]) > WallClock().now()
        assert world.run(world.renew()) == 0

    def test_bills_the_running_period_at_once_if_that_is_said(
        self, dalmada: Commands, world: World, anchor: str
    ) -> None:
        done = dalmada.add("--every", "day", "--anchor", anchor, "--first-period", "10")
        assert done.json["first_merchant_uid"] == merchant_uid(done.id, 10, 1)
        assert world.run(world.renew()) == 1
        (invoice,) = world.run(world.rows("SELECT period_index FROM invoices"))
        assert invoice.period_index == 10

    def test_is_caught_up_from_the_anchor_if_that_is_said(
        self, dalmada: Commands, world: World, anchor: str
    ) -> None:
        done = dalmada.add("--every", "day", "--anchor", anchor, "--bill-from", "anchor")
        assert done.json["first_period_index"] == 0
        assert world.run(world.renew()) == 1
        assert len(world.run(world.events("period.skipped"))) == 10


class TestATrial:
    OF_MEMBER = ("--product", "slim", "--buyer-ref", "member-7")

    def test_is_over_when_the_first_period_begins(self, dalmada: Commands, world: World) -> None:
        until = ("--trial-end", "2031-02-14", *self.OF_MEMBER)
        added = dalmada.add(*until, "--quantity", "2")
        (row,) = stored(world)
        ends_at = datetime(2031, 2, 13, 15, tzinfo=UTC)
        assert (row.status, row.trial_end_at, row.anchor_at) == ("trialing", ends_at, ends_at)
        assert (row.quantity, row.consented_amount, row.next_renewal_at) == (2, 0, ends_at)
        assert (row.product, row.buyer_ref) == ("slim", "member-7")
        assert added.json["trial_end_at"] == ends_at.isoformat()
        dalmada.add(*until, "--anchor", "2031-03-01", stdin="another_key_1")
        later = max(stored(world), key=lambda each: each.anchor_at)
        assert later.anchor_at == datetime(2031, 2, 28, 15, tzinfo=UTC)
        # Given once, whoever gave it.
        (trial,) = world.run(world.rows("SELECT * FROM trials"))
        assert trial.subscription_id == row.id

    def test_that_is_over_is_none(self, dalmada: Commands) -> None:
        done = dalmada(*ADD, *FROM_STDIN, "--trial-end", "2020-01-01", stdin=KEY)
        assert (done.status, done.out) == (2, "")
        assert "--trial-end: 2020-01-01 00:00:00 KST lies in the past" in done.err

    def test_cannot_end_at_no_time(self, dalmada: Commands) -> None:
        done = dalmada(*ADD, *FROM_STDIN, "--trial-end", "soon", stdin=KEY)
        assert (done.status, done.out) == (2, "")
        assert "--trial-end: 'soon' is not a date or time" in done.err


def test_the_first_periods_after_a_future_anchor_may_be_free(dalmada: Commands) -> None:
    done = dalmada.add("--anchor", "2031-01-31", "--first-period", "1")
    assert done.json["first_renewal_at"] == "2031-02-27T15:00:00+00:00"


class TestAConnectionThatBreaksAtTheCommit:
    def test_does_not_add_the_subscription_twice(self, dalmada: Commands, world: World) -> None:
        url = dalmada.environment["DALMADA_DATABASE_URL"]
        with cutting_proxy(url, cuts=1, closes=False) as proxy:
            done = dalmada(*ADD, *FROM_STDIN, "--json", stdin=KEY, DALMADA_DATABASE_URL=proxy.url)
        assert done.status == 0, done.err
        assert proxy.cuts == 0
        assert [row.id for row in stored(world)] == [done.id]
        assert len(audited(world)) == 1

    @pytest.mark.usefixtures("impatient")
    def test_leaves_the_id_with_which_to_look(self, dalmada: Commands, world: World) -> None:
        url = dalmada.environment["DALMADA_DATABASE_URL"]
        with cutting_proxy(url, cuts=1, closes=True) as proxy:
            done = dalmada(*ADD, *FROM_STDIN, stdin=KEY, DALMADA_DATABASE_URL=proxy.url)
        assert (done.status, done.out) == (1, "")
        assert "is not known" in done.err
        (row,) = stored(world)
        assert f"`dalmada subscription show {row.id}`" in done.err
