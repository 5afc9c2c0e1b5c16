"""`dalmada payment list`, `show` and `refund`."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Row

from shared.billing.outcome import Unknown
from tests.integration.console.commands import Commands
from tests.integration.console.deeds import (
    ACTOR,
    assert_untold,
    audited,
    everything_told,
    plant,
)
from tests.integration.console.proxies import cutting_proxy
from tests.integration.console.terminals import at_terminal
from tests.support.refunds import RefundDesk, Way
from worker.console import deeds

REASON = "[단순변심]  고객 요청 :warning: "
BECAUSE = ("--reason", REASON, "--requester", "customer")


@pytest.fixture
def payment(desk: RefundDesk) -> Row[Any]:
    return desk.world.run(desk.payments(amount=9_900, tax_free=990))[0]


def refunds(desk: RefundDesk) -> list[Row[Any]]:
    return desk.world.run(desk.world.rows("SELECT * FROM refunds ORDER BY id"))


class TestList:
    def test_gives_programs_one_document(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        desk.world.run(desk.ask(payment, 1_000))
        done = dalmada.process("payment", "list", "--json", DALMADA_REDIS_URL=None)
        assert (done.status, done.err) == (0, "")
        assert done.json == {
            "payments": [
                {
                    "imp_uid": payment.imp_uid,
                    "merchant_uid": payment.merchant_uid,
                    "subscription_id": str(payment.subscription_id),
                    "invoice_id": payment.invoice_id,
                    "amount": 9_900,
                    "tax_free": 990,
                    "cancelled_amount": 0,
                    "cancelled_tax_free": 0,
                    "asked_amount": 1_000,
                    "asked_tax_free": 100,
                    "left_amount": 8_900,
                    "left_tax_free": 890,
                    "refund_under_way": False,
                    "paid_at": payment.paid_at.isoformat(),
                }
            ],
            "more": False,
        }

    def test_shows_people_the_newest_first(self, dalmada: Commands, desk: RefundDesk) -> None:
        first, second = desk.world.run(desk.payments(2))
        lines = [line.split() for line in dalmada("payment", "list").out.splitlines()]
        assert [line[0] for line in lines if line[0].startswith("imp_")] == [
            second.imp_uid,
            first.imp_uid,
        ]

    def test_can_be_kept_to_a_subscription_and_says_when_there_are_more(
        self, dalmada: Commands, desk: RefundDesk
    ) -> None:
        first, _ = desk.world.run(desk.payments(2))
        done = dalmada("payment", "list", "--json", "--subscription", str(first.subscription_id))
        assert [item["imp_uid"] for item in done.json["payments"]] == [first.imp_uid]
        done = dalmada("payment", "list", "--json", "--limit", "1")
        assert (len(done.json["payments"]), done.json["more"]) == (1, True)
        nobody = dalmada("payment", "list", "--subscription", str(uuid.UUID(int=7)))
        assert (nobody.status, nobody.out) == (1, "")
        assert "there is no subscription" in nobody.err


class TestShow:
    def test_gives_programs_every_refund_with_the_gateways_own_words(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        world = desk.world
        world.run(desk.ask(payment, 3_000, reason=REASON))
        world.run(desk.work_all())
        desk.gateway.script.append(Way.REFUSED)
        world.run(desk.ask(payment, 100))
        world.run(desk.finish())
        done = dalmada.process("payment", "show", payment.imp_uid, "--json")
        assert (done.status, done.err) == (0, "")
        assert (done.json["cancelled_amount"], done.json["left_amount"]) == (3_000, 6_900)
        given, refused = done.json["refunds"]
        row = refunds(desk)[0]
        assert given == {
            "id": row.id,
            "status": "done",
            "amount": 3_000,
            "tax_free": 300,
            "reason": REASON,
            "requester": "customer",
            "cause": "command",
            "checksum": 9_900,
            "sends": 1,
            "refusal": None,
            "message": None,
            "cancellation_id": row.cancellation_id,
            "created_at": row.created_at.isoformat(),
            "settled_at": row.settled_at.isoformat(),
        }
        assert (refused["status"], refused["checksum"]) == ("refused", 6_900)
        assert refused["refusal"] == "결제취소에 실패하였습니다. 취소금액이 미정산 금액보다 큽니다."

    def test_tells_people_the_same(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        desk.world.run(desk.ask(payment, 3_000, reason=REASON))
        desk.gateway.script.append(Unknown("ReadTimeout"))
        desk.world.run(desk.work_all())
        done = dalmada("payment", "show", payment.imp_uid)
        head, refund = done.out.split("\n\n")
        assert "9,900 KRW (990 KRW tax-free)" in head
        assert "left          6,900 KRW (690 KRW tax-free)" in head
        assert "status        unknown" in refund
        assert "checksum      9,900 KRW" in refund
        assert f"reason        {REASON}\n" in refund
        assert "message       ReadTimeout" in refund

    def test_of_one_that_does_not_exist_says_so(self, dalmada: Commands) -> None:
        done = dalmada("payment", "show", "imp_nobody")
        assert (done.status, done.out) == (1, "")
        assert "there is no payment imp_nobody" in done.err


class TestRefund:
    def test_of_all_that_is_left_is_asked_for_once_and_written_down(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        world = desk.world
        world.run(desk.ask(payment, 3_000))
        done = dalmada.process(
            *("payment", "refund", "--imp-uid", payment.imp_uid, "--all", *BECAUSE),
            *("--yes", "--json"),
            DALMADA_REDIS_URL=None,
        )
        assert (done.status, done.err) == (0, "")
        row = refunds(desk)[1]
        command_id = done.json["command_id"]
        assert command_id.startswith("console-")
        assert done.json == {
            "command_id": command_id,
            "refund_id": row.id,
            "imp_uid": payment.imp_uid,
            "merchant_uid": payment.merchant_uid,
            "amount": 6_900,
            "tax_free": 690,
        }
        assert (row.status, row.amount, row.tax_free) == ("waiting", 6_900, 690)
        assert (row.reason, row.requester, row.command_id) == (REASON, "customer", command_id)
        (entry,) = audited(world)
        assert (entry.actor, entry.action) == (ACTOR, "payment refund")
        assert (entry.subject, entry.reason) == (f"payment {payment.imp_uid}", REASON)
        assert entry.details == done.json
        (told,) = world.run(world.events("command.done"))
        assert (told["command_id"], told["task"]) == (command_id, "payment.refund")
        assert world.run(desk.finish()) == ["done", "done"]
        assert desk.gateway.book[payment.imp_uid].left == 0

    def test_of_a_part_takes_its_share_of_the_tax_free_part(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        named = ("payment", "refund", "--invoice", str(payment.invoice_id))
        done = dalmada(*named, "--amount", "1000", *BECAUSE, "--yes")
        assert done.status == 0, done.err
        assert done.fields()["amount"] == "1,000 KRW"
        assert f"`dalmada payment show {payment.imp_uid}` tells how it went" in done.out
        dalmada(*named, "--amount", "1000", "--tax-free", "7", *BECAUSE, "--yes")
        assert [(row.amount, row.tax_free) for row in refunds(desk)] == [(1_000, 100), (1_000, 7)]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--amount", "9901"), "9901 won are more than the 9900 won that are left."),
            (("--amount", "9000", "--tax-free", "991"), "90 to 990 won may be tax-free"),
            (("--amount", "1", "--reason", " "), "a reason must be given"),
        ],
    )
    def test_that_may_not_be_is_refused_in_the_handlers_words_before_anybody_is_asked(
        self,
        dalmada: Commands,
        desk: RefundDesk,
        payment: Row[Any],
        arguments: tuple[str, ...],
        words: str,
    ) -> None:
        done = dalmada(
            *("payment", "refund", "--imp-uid", payment.imp_uid, *BECAUSE, *arguments, "--yes")
        )
        assert (done.status, done.out) == (1, "")
        assert words in done.err
        assert "This refund" not in done.err
        assert refunds(desk) == []
        assert audited(desk.world) == []
        assert desk.world.run(desk.world.rows("SELECT FROM commands")) == []

    def test_of_a_payment_that_nobody_knows_is_refused(self, dalmada: Commands) -> None:
        done = dalmada("payment", "refund", "--imp-uid", "imp_7", "--all", *BECAUSE, "--yes")
        assert (done.status, done.out) == (1, "")
        assert "there is no payment imp_7." in done.err

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (("--all",), "--imp-uid or by --invoice"),
            (("--imp-uid", "imp_1", "--invoice", "1", "--all"), "by one of them"),
            (("--imp-uid", "imp_1"), "--amount N or --all"),
            (("--imp-uid", "imp_1", "--amount", "1", "--all"), "one of them"),
            (("--imp-uid", "imp_1", "--all", "--tax-free", "0"), "leave --tax-free out"),
            (("--imp-uid", "imp_1", "--amount", "0"), "--amount"),
            (("--imp-uid", "imp_1", "--amount", "-1"), "--amount"),
            (("--imp-uid", "imp_1", "--amount", "1.5"), "--amount"),
            (("--imp-uid", "imp 1", "--all"), "--imp-uid"),
            (("--imp-uid", "imp_1", "--all", "--reason", "가" * 257), "--reason"),
            (("--imp-uid", "imp_1", "--all", "--requester", "nobody"), "--requester"),
        ],
    )
    def test_a_wrong_value_is_refused_in_words(
        self, dalmada: Commands, arguments: tuple[str, ...], fault: str
    ) -> None:
        done = dalmada("payment", "refund", *BECAUSE, *arguments, "--yes")
        assert (done.status, done.out) == (2, "")
        assert fault in " ".join(done.err.split())

    @pytest.mark.parametrize("missing", [BECAUSE[:2], BECAUSE[2:]])
    def test_reason_and_requester_are_mandatory(
        self, dalmada: Commands, missing: tuple[str, ...]
    ) -> None:
        done = dalmada("payment", "refund", "--imp-uid", "imp_1", "--all", *missing, "--yes")
        assert (done.status, done.out) == (2, "")


class TestAsking:
    def refund(self, payment: Row[Any], *arguments: str) -> tuple[str, ...]:
        return ("payment", "refund", "--imp-uid", payment.imp_uid, "--all", *BECAUSE, *arguments)

    def test_shows_the_amounts_and_whose_money_it_is_and_does_what_it_showed(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        plant(desk.world)
        done = at_terminal(dalmada, *self.refund(payment, "--json"), answer="y")
        assert done.status == 0
        assert done.json["amount"] == 9_900
        assert "goes back     9,900 KRW (990 KRW tax-free)" in done.err
        assert f"reason        {REASON}" in done.err
        assert "buyer_name    심청…미" in done.err
        assert "customer_uid  plan…41" in done.err
        assert_untold(done.out, done.err, everything_told(desk.world))
        assert len(refunds(desk)) == 1

    @pytest.mark.parametrize("answer", ["n", "", "Y es", "no"])
    def test_anything_but_yes_changes_nothing(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any], answer: str
    ) -> None:
        done = at_terminal(dalmada, *self.refund(payment), answer=answer)
        assert (done.status, done.out) == (1, "")
        assert done.err.endswith("Error: not done: nothing was changed.\n")
        assert refunds(desk) == []
        assert audited(desk.world) == []

    def test_without_a_terminal_needs_yes_and_never_waits(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        done = dalmada.process(*self.refund(payment), stdin="y\n")
        assert (done.status, done.out) == (2, "")
        assert "--yes" in done.err
        assert refunds(desk) == []

    def test_whoever_gives_back_more_meanwhile_is_not_overtaken(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        done = at_terminal(
            dalmada,
            *self.refund(payment),
            answer="yes",
            meanwhile=lambda: desk.world.run(desk.ask(payment, 1)),
        )
        assert (done.status, done.out) == (1, "")
        assert "9900 won are more than the 9899 won that are left." in done.err
        assert len(refunds(desk)) == 1
        assert audited(desk.world) == []
        (row,) = desk.world.run(desk.world.rows("SELECT result FROM commands"))
        assert row.result["status"] == "refused"


class TestAConnectionThatBreaksAtTheCommit:
    def test_does_not_give_back_twice(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        url = dalmada.environment["DALMADA_DATABASE_URL"]
        # The first one ends the look at what would be done.
        with cutting_proxy(url, cuts=1, closes=False, spares=1) as proxy:
            done = dalmada(
                *("payment", "refund", "--imp-uid", payment.imp_uid, "--amount", "100"),
                *(*BECAUSE, "--yes", "--json"),
                DALMADA_DATABASE_URL=proxy.url,
            )
        assert done.status == 0, done.err
        assert (proxy.cuts, proxy.spares) == (0, 0)
        assert [row.id for row in refunds(desk)] == [done.json["refund_id"]]
        assert len(audited(desk.world)) == 1

    @pytest.mark.usefixtures("impatient")
    def test_says_where_to_look(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        url = dalmada.environment["DALMADA_DATABASE_URL"]
        with cutting_proxy(url, cuts=1, closes=True, spares=1) as proxy:
            done = dalmada(
                *("payment", "refund", "--imp-uid", payment.imp_uid, "--amount", "100"),
                *(*BECAUSE, "--yes", "--json"),
                DALMADA_DATABASE_URL=proxy.url,
            )
        assert (done.status, done.out) == (1, "")
        assert "Whether it was done is not known" in done.err
        (entry,) = audited(desk.world)
        assert f"`dalmada audit list --json` names command {entry.details['command_id']}" in (
            done.err
        )

    @pytest.mark.usefixtures("impatient")
    def test_before_anything_was_sent_nothing_is_in_doubt(
        self, dalmada: Commands, desk: RefundDesk, payment: Row[Any]
    ) -> None:
        url = dalmada.environment["DALMADA_DATABASE_URL"]
        with cutting_proxy(url, cuts=1, closes=True) as proxy:
            done = dalmada(
                *("payment", "refund", "--imp-uid", payment.imp_uid, "--amount", "100"),
                *(*BECAUSE, "--yes"),
                DALMADA_DATABASE_URL=proxy.url,
            )
        assert (done.status, done.out) == (1, "")
        assert "not known" not in done.err
        assert refunds(desk) == []


def test_a_fault_of_ours_changes_nothing_and_is_kept_for_a_person(
    dalmada: Commands, desk: RefundDesk, payment: Row[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(REASON)

    monkeypatch.setattr(deeds, "_note", fail)
    done = dalmada(
        *("payment", "refund", "--imp-uid", payment.imp_uid, "--all", *BECAUSE),
        *("--yes", "--json"),
    )
    # Nothing that is logged meanwhile may stand between a program and its document.
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(
        "Error: a fault of ours kept it from being done: nothing was changed"
    )
    assert len(done.err.splitlines()) == 1
    assert refunds(desk) == []
    (letter,) = dalmada("dead-letter", "list", "--json").json["dead_letters"]
    assert letter["task"] == "payment.refund"


def test_an_old_payment_is_shown_with_its_refund_in_local_time(
    dalmada: Commands, desk: RefundDesk
) -> None:
    desk.world.clock.instant -= timedelta(days=400)
    (payment,) = desk.world.run(desk.payments())
    done = dalmada("payment", "show", payment.imp_uid)
    assert "KST" in done.fields()["paid"]
    assert "No refund was asked for yet." in done.out
