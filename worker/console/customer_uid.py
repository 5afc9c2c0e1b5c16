"""The way a billing key enters the console: never as an argument, which `ps` and history keep."""

import os
import sys

import typer

from shared.billing.errors import BillingError
from shared.billing.subscription import require_customer_uid
from worker.console.endings import MisusedError

VARIABLE = "DALMADA_CUSTOMER_UID"
STDIN = "-"
# Far more than PortOne's 80 characters; a file given by mistake is not read to its end.
_BYTES_MAX = 4096


def read_customer_uid(option: str | None) -> str:
    """Return the billing key from stdin, the environment or a hidden prompt.

    Args:
        option: The value of ``--customer-uid``: ``-`` reads stdin, nothing reads the variable or,
            at a terminal, asks.

    Raises:
        MisusedError: The key was given as an argument, not at all, or PortOne would not take it.
    """
    if option is not None and option != STDIN:
        raise MisusedError(
            "--customer-uid takes only '-': a billing key among the arguments can be read in the"
            " process list and stays in the shell's history, so remove it from there. Pipe it into"
            f" `--customer-uid -`, set {VARIABLE}, or leave the option out and type it when asked."
        )
    try:
        return require_customer_uid(_given(option))
    except BillingError as error:
        raise MisusedError(f"--customer-uid: {error}") from None


def _given(option: str | None) -> str:
    if option is None and VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if sys.stdin.isatty():
        answer: str = typer.prompt("customer_uid (not shown)", hide_input=True, err=True)
        return answer
    if option is None:
        raise MisusedError(
            "the billing key is missing: pipe it into `--customer-uid -`, or set"
            f" {VARIABLE}; at a terminal it is asked for."
        )
    try:
        return sys.stdin.buffer.read(_BYTES_MAX).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise MisusedError("--customer-uid: stdin is not UTF-8 text.") from None
