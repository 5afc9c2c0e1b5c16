"""`dalmada invoice list` and `dalmada invoice show`."""

import uuid
from datetime import timedelta

import pytest

from shared.billing.merchant_uid import merchant_uid
from shared.billing.outcome import Declined, Paid
from tests.integration.console.commands import Commands
from tests.support.billing import World

# Brackets, two blanks, a colon code and a tail blank: whatever renders texts likes to touch these.
REASON = "[한도초과]  카드 한도가 :warning: 초과되었습니다 (코드: 51) "


class TestList:
    def test_shows_people_the_newest_first_in_local_time(
        self, dalmada: Commands, world: World
    ) -> None:
        first, second = world.run(world.open_invoices(2))
        done = dalmada("invoice", "list")
        assert done.status == 0
        lines = [line.split() for line in done.out.splitlines() if " open " in line]
        assert [line[0] for line in lines] == [str(second), str(first)]
        assert "KST" in lines[0]
        assert "9,900 KRW" in done.out

    def test_gives_programs_one_document(self, dalmada: Commands, world: World) -> None:
        (invoice_id,) = world.run(world.open_invoices())
        row = world.run(world.invoice(invoice_id))
        done = dalmada.process("invoice", "list", "--json")
        assert done.err == ""
        assert done.json == {
            "invoices": [
                {
                    "id": invoice_id,
                    "subscription_id": str(row.subscription_id),
                    "period_index": 0,
                    "period_start_at": row.period_start_at.isoformat(),
                    "period_end_at": row.period_end_at.isoformat(),
                    "amount": 9_900,
                    "tax_free": 0,
                    "order_name": "슬림 요금제",
                    "status": "open",
                    "declines": 0,
                    "next_attempt_at": row.next_attempt_at.isoformat(),
                    "paid_at": None,
                    "message": None,
                }
            ],
            "more": False,
        }

    def test_can_be_kept_to_a_status_and_a_subscription(
        self, dalmada: Commands, world: World
    ) -> None:
        paid, still_open = world.run(world.open_invoices(2))
        world.run(world.charge([paid]))
        row = world.run(world.invoice(paid))

        def ids(*arguments: str) -> list[int]:
            return [
                item["id"]
                for item in dalmada("invoice", "list", "--json", *arguments).json["invoices"]
            ]

        of_paid = ("--subscription", str(row.subscription_id))
        assert ids() == [still_open, paid]
        assert ids("--status", "paid") == [paid]
        assert ids("--status", "open") == [still_open]
        assert ids(*of_paid) == [paid]
        assert ids(*of_paid, "--status", "open") == []

    def test_says_when_there_are_more(self, dalmada: Commands, world: World) -> None:
        world.run(world.open_invoices(3))
        done = dalmada("invoice", "list", "--limit", "2", "--json")
        assert (len(done.json["invoices"]), done.json["more"]) == (2, True)
        assert "Only the newest 2 are shown" in dalmada("invoice", "list", "--limit", "2").out
        assert "newest" not in dalmada("invoice", "list", "--limit", "3").out

    def test_of_a_subscription_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        done = dalmada("invoice", "list", "--subscription", str(uuid.UUID(int=7)), "--json")
        assert (done.status, done.out) == (1, "")
        assert "there is no subscription" in done.err

    @pytest.mark.parametrize(
        "arguments",
        [("--limit", "0"), ("--status", "active"), ("--subscription", "7"), ("--limit", "1e3")],
    )
    def test_refuses_a_wrong_value(self, dalmada: Commands, arguments: tuple[str, ...]) -> None:
        done = dalmada("invoice", "list", *arguments)
        assert (done.status, done.out) == (2, "")
        assert arguments[0] in done.err


class TestShow:
    @pytest.fixture
    def collected(self, world: World) -> int:
        """An invoice that was declined first and paid two days later."""
        world.clock.instant -= timedelta(days=3)
        (invoice_id,) = world.run(world.open_invoices())
        world.gateway.script += [
            Declined(REASON, "imp_100"),
            Paid("imp_200", world.clock.now() + timedelta(days=2)),
        ]
        world.run(world.charge_all())
        world.pass_time(timedelta(days=2))
        world.run(world.charge_all())
        return invoice_id

    def test_gives_programs_every_attempt_with_the_gateways_own_words(
        self, dalmada: Commands, world: World, collected: int
    ) -> None:
        row = world.run(world.invoice(collected))
        done = dalmada.process("invoice", "show", str(collected), "--json")
        document = done.json
        assert done.err == ""
        assert (document["id"], document["status"]) == (collected, "paid")
        assert document["paid_at"] == row.paid_at.isoformat()
        assert document["time_zone"] == "Asia/Seoul"
        declined, paid = document["attempts"]
        assert declined["message"] == REASON
        assert (declined["number"], declined["status"]) == (1, "declined")
        assert declined["imp_uid"] == "imp_100"
        assert declined["merchant_uid"] == merchant_uid(row.subscription_id, 0, 1)
        assert (paid["number"], paid["status"], paid["imp_uid"]) == (2, "paid", "imp_200")
        assert paid["merchant_uid"] == merchant_uid(row.subscription_id, 0, 2)
        assert paid["message"] is None
        assert set(paid) == {
            *("id", "number", "send_number", "status", "merchant_uid", "imp_uid", "message"),
            *("claimed_at", "settled_at"),
        }

    def test_tells_people_the_same_and_does_not_touch_the_words(
        self, dalmada: Commands, collected: int
    ) -> None:
        done = dalmada("invoice", "show", str(collected))
        assert done.status == 0
        head, lines, first, second = done.out.split("\n\n")
        assert "paid" in head
        assert lines.splitlines()[-1].split("  ")[0] == "total"
        assert "attempt 1" in first
        assert f"message       {REASON}\n" in first + "\n"
        assert "imp_100" in first
        assert "attempt 2" in second
        assert "imp_200" in second

    def test_shows_an_invoice_nobody_tried_to_collect(
        self, dalmada: Commands, world: World
    ) -> None:
        (invoice_id,) = world.run(world.open_invoices())
        assert dalmada("invoice", "show", str(invoice_id), "--json").json["attempts"] == []
        people = dalmada("invoice", "show", str(invoice_id))
        assert "No attempt was made yet." in people.out
        assert people.fields()["paid"] == "-"

    def test_shows_why_an_amount_below_the_minimum_was_not_charged(
        self, dalmada: Commands, world: World
    ) -> None:
        (invoice_id,) = world.run(world.open_invoices(price=9))
        world.run(world.charge([invoice_id]))
        done = dalmada("invoice", "show", str(invoice_id))
        assert done.fields()["status"] == "uncollectible"
        assert done.fields()["message"] == "최소 결제 금액은 10원입니다."

    def test_writes_what_steers_a_terminal_as_escapes_but_for_programs_as_it_is(
        self, dalmada: Commands, world: World
    ) -> None:
        hostile = "\x1b[2J잔액\n부족\u202e\x07"
        (invoice_id,) = world.run(world.open_invoices())
        world.gateway.script.append(Declined(hostile, "imp_1"))
        world.run(world.charge_all())
        people = dalmada("invoice", "show", str(invoice_id))
        assert people.fields()["message"] == r"\x1b[2J잔액\n부족\u202e\x07"
        programs = dalmada("invoice", "show", str(invoice_id), "--json")
        assert programs.json["attempts"][0]["message"] == hostile
        assert "\x1b" not in people.out + programs.out + dalmada("invoice", "list").out

    def test_of_one_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        for form in ((), ("--json",)):
            done = dalmada("invoice", "show", "4711", *form)
            assert (done.status, done.out) == (1, "")
            assert "there is no invoice 4711" in done.err

    @pytest.mark.parametrize("identity", ["0", "seven", str(2**63), str(uuid.UUID(int=7))])
    def test_refuses_what_is_no_number_of_an_invoice(
        self, dalmada: Commands, identity: str
    ) -> None:
        done = dalmada("invoice", "show", identity)
        assert (done.status, done.out) == (2, "")
        assert "ID" in done.err
