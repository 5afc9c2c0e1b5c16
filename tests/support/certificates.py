"""The authorities a client trusts, read once for all tests: it takes longer than most of them."""

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return what a client of ours makes for itself unless it is given something else."""
    return httpx.create_ssl_context(trust_env=False)
