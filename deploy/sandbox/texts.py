"""Every message the sandbox sends, with what is known about where it comes from.

Evidence: H seen in several live captures, M in one, L in third-party text only, DOC documented.
A text that nobody has published is not made up: such refusals start with `sandbox: ` so that no
client can come to rely on them.
"""

from typing import Final

UNAUTHORIZED: Final = "Unauthorized"  # H, 401, code -1

UNKNOWN_BUYER: Final = "등록되지 않은 구매자입니다."  # H, again, 200, code 1

DUPLICATE_ORDER: Final = (  # M, again, 200, code 1
    "이미 주문이 이루어진 건입니다. (동일한 merchant_uid로 결제 또는 취소된 기록이 있습니다)"
)

UNKNOWN_CUSTOMER: Final = (  # H, GET customer, 200, code 1
    "요청하신 customer_uid({customer_uid})로 등록된 정보를 찾을 수 없습니다."
)

# H, lookups, 404, code -1. Naver's own endpoints document the 404 but not its words: taken to be
# the same, because it is the same check.
UNKNOWN_PAYMENT: Final = "존재하지 않는 결제정보입니다."

# M for /payments/status/x. find and findAll document the 400 but not its words: taken to be the
# same, because it is the same check.
UNSUPPORTED_STATUS: Final = "지원되지 않는 상태값입니다."

# L, 400. Only the beginning is known; the list of names after the colon is ours.
MISSING_PARAMETERS: Final = "파라미터 누락:{names}"

NOTHING_TO_CANCEL: Final = "취소할 결제건이 존재하지 않습니다."  # H, cancel, 200, code 1
ALREADY_CANCELLED: Final = "이미 전액취소된 주문입니다."  # H, cancel, 200, code 1

# H as the beginning of whatever the payment company says against a cancel; 200, code -1.
CANCEL_FAILED: Final = "결제취소에 실패하였습니다."
# L, seen with another payment company; that of Naver is not published.
CANCEL_ABOVE_REMAINDER: Final = (
    CANCEL_FAILED + "(requested cancel amount is bigger than cancelable amount)"
)

UNKNOWN_CUSTOMER_OF_SCHEDULE: Final = "등록된 고객정보가 없습니다"  # H, schedule, 200, code 1
NOTHING_TO_UNSCHEDULE: Final = (  # H, unschedule, 200, code 1
    "취소할 예약결제 기록이 존재하지 않습니다."
)

ALREADY_PREPARED: Final = (  # M, POST prepare, 200, code 1
    "결제정보 사전등록에 실패하였습니다(이미 등록된 merchant_uid입니다)."
)
NOT_PREPARED: Final = "사전등록된 결제정보가 존재하지 않습니다."  # M, GET prepare, 404

ALREADY_PAID_CODE: Final = "F1002"  # M, window, error_code
ALREADY_PAID: Final = "이미 결제가 이루어진 거래건입니다."  # M, window, error_msg

# DOC, but as examples: the exact words of Naver are not published.
INSUFFICIENT_BALANCE: Final = "잔액 부족"
LIMIT_EXCEEDED: Final = "한도 초과"

# The name of Naver's native code. How PortOne carries it is not published.
MAINTENANCE: Final = "MaintenanceOngoing"

# Nothing is published about these: ours, and marked as ours.
SANDBOX: Final = "sandbox: "
REFUSED_BY_PG: Final = SANDBOX + "refused by the payment gateway"
CANCEL_REFUSED_BY_PG: Final = f"{CANCEL_FAILED}({REFUSED_BY_PG})"
# Only its last word is known.
NO_IDENTIFIER: Final = SANDBOX + "imp_uid, merchant_uid 중 하나를 지정해주셔야합니다."
NOT_PAID: Final = SANDBOX + "a payment that was never paid cannot be cancelled"
# What the real server does is not published. No money moved, so there is none to give back.
REGISTRATION: Final = SANDBOX + "a registration moved no money and cannot be cancelled"
STALE_CHECKSUM: Final = SANDBOX + "checksum is not what is left of the payment; nothing was done"
TAX_FREE_ABOVE_AMOUNT: Final = SANDBOX + "tax_free above the amount to be cancelled"
TAX_FREE_ABOVE_REMAINDER: Final = SANDBOX + "tax_free above what is left of the tax-free part"
PAGE_BEYOND_THE_LAST: Final = SANDBOX + "there is no such page"
UNKNOWN_CUSTOMERS: Final = SANDBOX + "no billing key under any of these customer_uids"
UNKNOWN_SCHEDULE: Final = SANDBOX + "no schedule of this merchant_uid"
NO_KEY_TO_RETRY: Final = SANDBOX + "the billing key of this schedule is gone"
IN_THE_PAST: Final = SANDBOX + "schedule_at is in the past"
NOT_PENDING: Final = SANDBOX + "the schedule was executed or revoked"
NOT_FAILED: Final = SANDBOX + "the schedule is pending, under way or paid"
NO_POINTS: Final = SANDBOX + "no points: the payment is not paid, or they were given before"
NOT_TO_CONFIRM: Final = SANDBOX + "nothing to confirm: the payment is not paid, or it was before"
NOTHING_AT_NAVER: Final = SANDBOX + "the payment never came to be at Naver"
SCHEDULED_ALREADY: Final = SANDBOX + "merchant_uid has a schedule that is pending or was paid"
SERVICE_IS_OVER: Final = SANDBOX + "extra.naverUseCfm is before the day of the charge in Korea"
BAD_REQUEST: Final = SANDBOX + "bad request as told by a behaviour"
TOO_MANY_REQUESTS: Final = SANDBOX + "too many requests"
INTERNAL_ERROR: Final = SANDBOX + "internal error as told by a behaviour"

# The window's error_code is the payment company's own, as documented; which one is not published.
BAD_WINDOW_CODE: Final = "sandbox:parameters"
PREPARED_AMOUNT_CODE: Final = "sandbox:prepared"
PREPARED_AMOUNT_DIFFERS: Final = SANDBOX + "amount {asked} is not the prepared {prepared}"
MINIMUM_CODE: Final = "sandbox:minimum"
AMOUNT_BELOW_MINIMUM: Final = SANDBOX + "최소 결제 금액은 {minimum}원입니다."
CANCELLED_CODE: Final = "sandbox:cancel"
WINDOW_CANCELLED: Final = SANDBOX + "구매자가 결제창에서 취소하였습니다."
WINDOW_CLOSED: Final = SANDBOX + "구매자가 결제창을 닫았습니다."
REGISTRATION_CODE: Final = "sandbox:registration"
ALREADY_REGISTERED: Final = SANDBOX + "이 상품코드로 이미 등록된 정기결제가 있습니다."
NOTHING_TO_CHANGE: Final = SANDBOX + "변경할 결제수단이 등록되어 있지 않습니다."
OTHER_NAVER_ACCOUNT: Final = SANDBOX + "결제수단이 다른 네이버 계정에 등록되어 있습니다."
