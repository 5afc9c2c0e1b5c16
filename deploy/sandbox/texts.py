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

UNKNOWN_PAYMENT: Final = "존재하지 않는 결제정보입니다."  # H, lookups, 404, code -1

# M for /payments/status/x. find and findAll document the 400 but not its words: taken to be the
# same, because it is the same check.
UNSUPPORTED_STATUS: Final = "지원되지 않는 상태값입니다."

# L, 400. Only the beginning is known; the list of names after the colon is ours.
MISSING_PARAMETERS: Final = "파라미터 누락:{names}"

# DOC, but as examples: the exact words of Naver are not published.
INSUFFICIENT_BALANCE: Final = "잔액 부족"
LIMIT_EXCEEDED: Final = "한도 초과"

# The name of Naver's native code. How PortOne carries it is not published.
MAINTENANCE: Final = "MaintenanceOngoing"

# Nothing is published about these: ours, and marked as ours.
SANDBOX: Final = "sandbox: "
REFUSED_BY_PG: Final = SANDBOX + "refused by the payment gateway"
BAD_REQUEST: Final = SANDBOX + "bad request as told by a behaviour"
TOO_MANY_REQUESTS: Final = SANDBOX + "too many requests"
INTERNAL_ERROR: Final = SANDBOX + "internal error as told by a behaviour"
