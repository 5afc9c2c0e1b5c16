"""How texts, secrets and instants look."""

import sys
from datetime import UTC, datetime

import pytest

from worker.console import rendering
from worker.console.rendering import age, local, mask, print_table, visible

AT = datetime(2026, 1, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("", "…"),
        ("홍", "…"),
        ("홍길동", "홍…"),
        ("abcdef", "ab…f"),
        ("gildong_1234", "gild…34"),
        ("k" * 80, "kkkk…kk"),
    ],
)
def test_a_mask_shows_at_most_half(secret: str, shown: str) -> None:
    assert mask(secret) == shown
    assert 2 * (len(shown) - 1) <= len(secret)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("잔액 부족 [한도] :smile:", "잔액 부족 [한도] :smile:"),
        # Blanks of other widths are text.
        ("결제\u3000실패\u00a0!", "결제\u3000실패\u00a0!"),
        ("a\x1b[31mb\r\n", r"a\x1b[31mb\r\n"),
        ("\u2028\u202e\ud800", r"\u2028\u202e\ud800"),
    ],
    ids=["korean", "blanks", "controls", "reordering"],
)
def test_only_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_a_duration_is_told_in_a_unit_of_which_there_are_two(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Asia/Seoul", "2026-01-31 00:00:00 KST"),
        ("Mars/Olympus", "2026-01-30 15:00:00 UTC"),
        ("", "2026-01-30 15:00:00 UTC"),
    ],
)
def test_an_instant_is_told_on_local_clocks_or_in_utc(zone: str, shown: str) -> None:
    assert local(AT, zone) == shown


def test_an_instant_at_the_calendars_end_is_told_in_utc() -> None:
    last = datetime(9999, 12, 31, 23, tzinfo=UTC)
    assert local(last, "Asia/Seoul") == "9999-12-31 23:00:00 UTC"


class TestATable:
    ROWS = (("190264ad-10ec-47ec", "잔액 부족"), ("55f4faf7-8821-4192", "[한도초과]  카드"))

    def test_is_never_folded_into_a_pipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_table(("id", "message"), (("190264ad", "가" * 500),))
        head, _, line = capsys.readouterr().out.splitlines()
        assert head.split() == ["id", "message"]
        assert line.split() == ["190264ad", "가" * 500]

    def test_without_rows_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_table(("id", "message"), ())
        assert capsys.readouterr().out == "(none)\n"

    @pytest.mark.parametrize(("width", "lines"), [(40, 4), (36, 5)], ids=["wide", "narrow"])
    def test_becomes_blocks_of_lines_where_a_terminal_is_too_narrow(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        width: int,
        lines: int,
    ) -> None:
        monkeypatch.setattr(rendering, "_WIDTH_UNBOUNDED", 1_000)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("NO_COLOR", "1")
        print_table(("id", "message"), self.ROWS)
        out = capsys.readouterr().out
        assert len(out.splitlines()) == lines
        for row in self.ROWS:
            for cell in row:
                assert cell in out
