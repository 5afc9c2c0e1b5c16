"""A channel to a payment company, as the merchant has set it up at the gateway."""

from dataclasses import dataclass
from typing import Final

NAVER_PAY: Final = "naverpay"
# The kind of a channel that tells who somebody is, and moves no money.
CERTIFICATION: Final = "certification"


@dataclass(frozen=True, slots=True)
class GatewayChannel:
    """One channel (V1 spec, ``PgSettingAnnotation``).

    Attributes:
        pg_provider: Which payment company.
        pg_id: The merchant's id there.
        is_test: Whether payments through it move no real money.
        kind: ``payment``, ``api_payment``, ``certification``, or whatever may come.
        name: What the merchant calls it.
        key: By which payment windows name it; browsers see it, so it is no secret.
    """

    pg_provider: str
    pg_id: str
    is_test: bool
    kind: str | None = None
    name: str | None = None
    key: str | None = None

    @property
    def collects_by_naver_pay(self) -> bool:
        """Whether Naver Pay takes money through it."""
        return self.pg_provider == NAVER_PAY and self.kind != CERTIFICATION
