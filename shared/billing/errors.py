"""Errors of the domain: a value that may not exist was asked for.

BillingError
├── InvalidAmountError        not whole won, or more tax-free than total
├── InvalidCycleError         an interval, anchor or time zone that cannot be counted
├── InvalidMerchantUidError   the parts do not fit PortOne's 40 characters
├── InvalidAgreementError     a subscription whose fields contradict each other
├── InvalidWindowError        a payment window that PortOne or Naver Pay would refuse
├── InvalidPolicyError        a dunning or catch-up rule that cannot be followed
├── InvalidRefundError        more than is left, nothing at all, or no reason
├── InvalidCancellationError  an end that contradicts itself
├── InvalidTransitionError    something that cannot happen to a subscription that stands there
├── InvalidForecastError      a day that cannot be foreseen, or not be compared any more
└── InvalidLinesError         lines of an invoice that do not add up
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


class InvalidWindowError(BillingError):
    """A payment window would be opened with what PortOne or Naver Pay refuses."""


class InvalidPolicyError(BillingError):
    """A dunning or catch-up policy cannot be followed as given."""


class InvalidRefundError(BillingError):
    """A refund exceeds what is left, is of nothing, or has no reason."""


class InvalidCancellationError(BillingError):
    """A cancellation's parts contradict each other."""


class InvalidTransitionError(BillingError):
    """Something cannot happen to a subscription that stands where it does."""


class InvalidLinesError(BillingError):
    """Lines of an invoice would not add up to what can be owed."""


class InvalidForecastError(BillingError):
    """A day cannot be foreseen, or what was foreseen of it cannot be held against it."""
