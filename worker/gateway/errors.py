"""Errors of the gateway: nothing happened, and nothing is known that was not known before.

    GatewayError
    ├── GatewayUnavailable    it could not be asked, or could not answer; ask later
    │   └── GatewayRefused    it answered no, in words that are not among those we know
    ├── GatewayThrottled      it told us to wait, and did nothing else
    └── GatewayMisconfigured  it refused us for a fault of ours: key, permission, parameter

How a charge ended is never an exception: see ``shared.billing.outcome``.
"""


class GatewayError(Exception):
    """The gateway did nothing for us."""


class GatewayUnavailable(GatewayError):  # noqa: N818 - a state of the gateway, and reads as one
    """The gateway could not be asked, or its answer could not be read; ask later.

    Attributes:
        cause: What went wrong, in words that hold neither secret nor person.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class GatewayRefused(GatewayUnavailable):
    """The gateway answered no; what the words mean is for the caller to know.

    Attributes:
        message: The gateway's own words, byte for byte.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(cause)
        self.message = message


class GatewayThrottled(GatewayError):  # noqa: N818 - as above
    """The gateway told us to wait.

    Attributes:
        cause: How it said so.
        retry_after_s: How long, where it said that too.
    """

    def __init__(self, cause: str, retry_after_s: float | None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.retry_after_s = retry_after_s


class GatewayMisconfigured(GatewayError):  # noqa: N818 - as above
    """The gateway refused us for a fault of ours; asking again as we are is useless.

    Attributes:
        message: The gateway's own words, byte for byte.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
