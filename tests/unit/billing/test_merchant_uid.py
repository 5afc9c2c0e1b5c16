import os
import re
import subprocess
import sys
from typing import Any, Final, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.billing.errors import InvalidMerchantUidError
from shared.billing.merchant_uid import (
    ATTEMPT_NUMBER_MAX,
    MERCHANT_UID_LENGTH_MAX,
    PERIOD_INDEX_MAX,
    ChargeName,
    merchant_uid,
    parse,
)

LARGEST: Final = UUID(int=2**128 - 1)
SMALLEST: Final = UUID(int=0)
_FORM: Final = re.compile(r"([0-9a-z]{25})p(0|[1-9][0-9]*)n([1-9][0-9]*)")

UUIDS: Final = st.integers(0, 2**128 - 1).map(lambda value: UUID(int=value))
INDEXES: Final = st.integers(0, PERIOD_INDEX_MAX)
NUMBERS: Final = st.integers(1, ATTEMPT_NUMBER_MAX)


def parts_of(uid: str) -> tuple[UUID, int, int]:
    """Read a ``merchant_uid`` back; Python's own base 36 reader is the other side."""
    form = _FORM.fullmatch(uid)
    assert form, uid
    return UUID(int=int(form[1], 36)), int(form[2]), int(form[3])


@given(UUIDS, INDEXES, NUMBERS)
def test_the_three_parts_can_be_read_back(subscription_id: UUID, index: int, number: int) -> None:
    """So no two attempts share one: the function has an inverse."""
    assert parts_of(merchant_uid(subscription_id, index, number)) == (
        subscription_id,
        index,
        number,
    )


@given(UUIDS, INDEXES, NUMBERS)
def test_the_parser_is_the_inverse(subscription_id: UUID, index: int, number: int) -> None:
    uid = merchant_uid(subscription_id, index, number)
    assert parse(uid) == ChargeName(subscription_id, index, number)


# Texts that are near the shape: cut, lengthened, of other digits, or written otherwise.
NEAR_TEXTS: Final = st.from_regex(r"[0-9a-zA-Z٠-٩]{24,26}[pw]?[0-9٠]{0,7}n?[0-9٣]{0,5}\n?")


@given(st.text() | NEAR_TEXTS | st.from_regex(_FORM, fullmatch=True))
def test_the_parser_reads_what_would_be_written_so_and_nothing_else(text: str) -> None:
    name = parse(text)
    if name is not None:
        assert merchant_uid(name.subscription_id, name.period_index, name.attempt_number) == text
        return
    form = _FORM.fullmatch(text)
    if form:
        too_large = int(form[1], 36) >= 2**128
        out_of_range = int(form[2]) > PERIOD_INDEX_MAX or int(form[3]) > ATTEMPT_NUMBER_MAX
        assert too_large or out_of_range


# Drawn from few values, so that pairs that differ in one part only, or look alike when written one
# after the other (1 and 11, 11 and 1), are met at once.
NEAR: Final = st.tuples(
    st.sampled_from([SMALLEST, UUID(int=1), UUID(int=36), UUID(int=2**127), LARGEST]),
    st.sampled_from([0, 1, 11, 111, PERIOD_INDEX_MAX]),
    st.sampled_from([1, 11, 111, 1111, ATTEMPT_NUMBER_MAX]),
)
ANY: Final = st.tuples(UUIDS, INDEXES, NUMBERS)


@given(NEAR | ANY, NEAR | ANY)
def test_two_attempts_share_one_only_if_they_are_the_same(
    one: tuple[UUID, int, int], other: tuple[UUID, int, int]
) -> None:
    assert (merchant_uid(*one) == merchant_uid(*other)) == (one == other)


@given(ANY)
def test_letters_and_digits_only_and_40_at_most(parts: tuple[UUID, int, int]) -> None:
    uid = merchant_uid(*parts)
    assert re.fullmatch(r"[a-z0-9]+", uid, re.ASCII)
    assert len(uid) <= MERCHANT_UID_LENGTH_MAX == 40


@pytest.mark.parametrize("subscription_id", [SMALLEST, LARGEST], ids=str)
@pytest.mark.parametrize("index", [0, PERIOD_INDEX_MAX])
@pytest.mark.parametrize("number", [1, ATTEMPT_NUMBER_MAX])
def test_the_extremes_fit(subscription_id: UUID, index: int, number: int) -> None:
    uid = merchant_uid(subscription_id, index, number)
    assert len(uid) <= 40
    assert parts_of(uid) == (subscription_id, index, number)


def test_one_is_written_down_so_that_no_later_version_writes_it_otherwise() -> None:
    """A change of the form would charge again what an earlier version has charged."""
    subscription_id = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    uid = merchant_uid(subscription_id, 14, 2)
    assert uid == "039srkj01e44uynszf2f2njh3p14n2"


@pytest.mark.parametrize(("index", "number"), [(-1, 1), (PERIOD_INDEX_MAX + 1, 1)])
def test_a_period_out_of_bounds_is_refused(index: int, number: int) -> None:
    with pytest.raises(InvalidMerchantUidError, match="period index"):
        merchant_uid(SMALLEST, index, number)


@pytest.mark.parametrize(("index", "number"), [(0, 0), (0, -1), (0, ATTEMPT_NUMBER_MAX + 1)])
def test_an_attempt_out_of_bounds_is_refused(index: int, number: int) -> None:
    with pytest.raises(InvalidMerchantUidError, match="attempt number"):
        merchant_uid(SMALLEST, index, number)


@pytest.mark.parametrize(("index", "number"), [(True, 1), (1, True), (1.0, 1), (1, 1.0)])
def test_what_is_no_whole_number_is_refused(index: object, number: object) -> None:
    """True would be written with a capital letter, 1.0 with a point."""
    with pytest.raises(InvalidMerchantUidError):
        merchant_uid(SMALLEST, cast("Any", index), cast("Any", number))


_SCRIPT: Final = """
import sys
from uuid import UUID
from shared.billing.merchant_uid import merchant_uid
for line in sys.stdin:
    subscription_id, index, number = line.split()
    print(merchant_uid(UUID(subscription_id), int(index), int(number)))
"""


def test_another_process_derives_the_same() -> None:
    parts = [
        (UUID(int=(seed * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128), seed * 997, seed + 1)
        for seed in range(200)
    ]
    known = [merchant_uid(*each) for each in parts]
    told = "".join(
        f"{subscription_id} {index} {number}\n" for subscription_id, index, number in parts
    )
    for seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            input=told,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.split() == known
