"""Errors of the domain: a value that may not exist was asked for.

BillingError
├── InvalidAmountError        not whole won, or more tax-free than total
├── InvalidCycleError         an interval, anchor or time zone that cannot be counted
├── InvalidMerchantUidError   the parts do not fit PortOne's 40 characters
├── InvalidAgreementError     a subscription whose fields contradict each other
└── InvalidPolicyError        a dunning or catch-up rule that cannot be followed
"""


class BillingError(ValueError):
    """A value of the domain was asked for that must not exist."""


class InvalidAmountError(BillingError):
    """An amount is not whole won, or its tax-free part exceeds it."""


class InvalidCycleError(BillingError):
    """A billing cycle cannot be counted: bad interval, anchor or time zone."""


class InvalidMerchantUidError(BillingError):
    """The parts of a merchant_uid are out of range."""


class InvalidAgreementError(BillingError):
    """A subscription's fields contradict each other or the gateway's limits."""


class InvalidPolicyError(BillingError):
    """A dunning or catch-up policy cannot be followed as given."""
