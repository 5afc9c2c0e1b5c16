"""A real browser without a screen, for tests that walk through pages as a buyer does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# It looks for nothing outside: the pages are this machine's own.
_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def program() -> str:
    """Return the path of a browser, or skip the test; where tests decide a landing, fail it."""
    for name in _PROGRAMS:
        if path := shutil.which(name):
            return path
    message = f"no browser is installed: one of {', '.join(_PROGRAMS)}"
    if os.environ.get("CI", "") not in {"", "0", "false"}:
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a browser, and end it afterwards."""
    path = program()
    # Chromium's own sandbox refuses to run as root.
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield running
        finally:
            running.close()
