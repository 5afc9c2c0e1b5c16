"""The gateway's own texts that we act on: V1 has no error codes, so its words are the only sign.

Each text is matched by containment and says where it was seen. What nobody has published is not
here: the text of a terminated recurring registration, of an amount below the minimum, of a
``naverUseCfm`` in the past. An unknown text settles nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownText:
    """A part of a message that we act on, and the evidence for it."""

    text: str
    seen: str


# Whatever else such a message says, money may be moving: these come before every other table.
IN_PROGRESS = (
    KnownText("AlreadyOnGoing", "Naver native code: the same payment is being processed"),
    KnownText("AlreadyComplete", "Naver native code: the payment has been made"),
)
TOLD_TO_WAIT = (KnownText("MaintenanceOngoing", "Naver native code"),)
DUPLICATE = (
    KnownText(
        "이미 주문이 이루어진 건입니다", "again and onetime, code != 0; a live test of onetime"
    ),
    KnownText("이미 결제가 이루어진 거래건입니다", "payment window, F1002; iamport-manual issue 6"),
)
UNREGISTERED = (
    KnownText(
        "등록되지 않은 구매자입니다", "again, code 1; suites of the Python, Go and Node clients"
    ),
    KnownText("등록된 고객정보가 없습니다", "schedule, code 1; suites of several clients"),
    KnownText("등록된 정보를 찾을 수 없습니다", "GET and DELETE customer, code 1; several clients"),
)
NOT_PERMITTED = (
    KnownText("API 호출 권한이 없습니다", "Naver Pay guide page: until Naver's inspection begins"),
    # Also the beginning of InvalidMerchantAuth.
    KnownText("InvalidMerchant", "Naver native code; iamport-react-native issues 186 and 211"),
    KnownText(
        "인증 헤더 값을 잘못 입력했거나 해당 인증 값이 유효하지 않습니다",
        "the words of InvalidMerchantAuth; iamport-react-native issue 186",
    ),
)
BAD_PARAMETER = (KnownText("파라미터 누락", "HTTP 400 of several calls; third-party captures"),)

NO_SUCH_PAYMENT = (
    KnownText("존재하지 않는 결제정보입니다", "GET payment and find, HTTP 404; several clients"),
)

# Any other words of a refused cancel end the same: the payment is read.
NOT_CANCELLED = (
    KnownText("이미 전액취소된 주문입니다", "cancel, code 1; suite of the Java client, captures"),
    KnownText("취소할 결제건이 존재하지 않습니다", "cancel, code 1; suite of the Python client"),
    KnownText(
        "결제취소에 실패하였습니다", "cancel, code -1; stands before the payment company's words"
    ),
)

NOTHING_SCHEDULED = (
    KnownText("취소할 예약결제 기록이 존재하지 않습니다", "unschedule, code 1; several clients"),
)
PREPARED_ALREADY = (
    KnownText("이미 등록된 merchant_uid입니다", "POST prepare, code 1; one capture"),
)
NOT_PREPARED = (
    KnownText("사전등록된 결제정보가 존재하지 않습니다", "GET prepare, HTTP 404; one capture"),
)

# Which words mean "for good" at Naver is not published: these are an assumption, and a setting.
DEAD_METHOD_MARKERS = ("EXPIRED", "해지", "만료된")


def says(table: tuple[KnownText, ...], message: str) -> bool:
    """Say whether a message holds one of the texts of a table."""
    return any(known.text in message for known in table)
