"""How long a page of the sandbox's payments by status takes, with many records in its book.

Run `python -m tests.bench.sandbox_lists --records 1000000`. The sandbox is in this process and
without sockets: what is measured is the work, with the JSON of a thousand payments a page in it.
The line reads `sandbox_lists: records=… first_page_cpu_s=… page_cpu_ms=… growing_page_cpu_ms=…
peak_mb=…`, in CPU time, the figure that holds on a busy machine: the first page of a range puts its
list in order, the others follow the book; a growing one has a hundred charges booked since the
page before it.
"""

import argparse
import asyncio
import itertools
import json
import resource
import statistics
import time
from collections.abc import Iterable

from deploy.sandbox.calls import Call
from deploy.sandbox.records import BillingKey, Channel, Order, Status, Usage, Verdict
from deploy.sandbox.routes import ROUTES
from deploy.sandbox.state import Sandbox
from deploy.sandbox.tokens import TokenDesk

_PATH = "/payments/status/all"
_LIMIT = 1_000
_DAY_S = 86_400
_BETWEEN = 100
_GROWING_PAGES = 50


def _enter(sandbox: Sandbox, numbers: Iterable[int], *, at: float, every_s: float) -> None:
    for number in numbers:
        instant = at + number * every_s
        sandbox.book.enter_foreign(
            Order(f"customer-{number % 1_000}", f"m{number}", 1004, "구독"),
            Verdict(Status.FAILED if number % 10 == 0 else Status.PAID),
            usage=Usage.PAYMENT,
            channel=Channel.API,
            started_at=instant - 0.3,
            at=instant,
        )


async def _page(sandbox: Sandbox, query: str, page: int) -> int:
    match = ROUTES.match("GET", _PATH)
    assert match is not None
    call = Call(_PATH, {"payment_status": "all"}, f"{query}&page={page}&limit={_LIMIT}")
    reply = await match.endpoint.serve(sandbox, call)
    assert reply.status == 200, reply.body
    return len(json.loads(reply.body)["response"]["list"])


async def _measure(records: int) -> str:
    sandbox = Sandbox(TokenDesk("bench", "bench"))
    sandbox.book.register(BillingKey("customer-0", inserted_at=0.0, updated_at=0.0))
    end = sandbox.clock.now()
    begin = end - 80 * _DAY_S
    _enter(sandbox, range(records), at=begin, every_s=(end - begin) / records)
    query = f"from={int(begin)}&to={int(end) + _DAY_S}&sorting=started"
    started = time.process_time()
    shown = await _page(sandbox, query, 1)
    first_s = time.process_time() - started
    pages_s = []
    for page in range(2, (records + _LIMIT - 1) // _LIMIT + 1):
        started = time.process_time()
        shown += await _page(sandbox, query, page)
        pages_s.append(time.process_time() - started)
    assert shown == records, f"{shown} records were shown"
    growing_s = []
    numbers = itertools.count(records)
    pages = max(1, records // _LIMIT)
    for page in (1 + n % pages for n in range(_GROWING_PAGES)):
        new = itertools.islice(numbers, _BETWEEN)
        _enter(sandbox, new, at=begin, every_s=(end - begin) / records)
        started = time.process_time()
        await _page(sandbox, query, page)
        growing_s.append(time.process_time() - started)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"sandbox_lists: records={records} first_page_cpu_s={first_s:.2f}"
        f" page_cpu_ms={statistics.median(pages_s) * 1e3:.1f}"
        f" growing_page_cpu_ms={statistics.median(growing_s) * 1e3:.1f} peak_mb={peak_mb:.0f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the sandbox's long lists.")
    parser.add_argument("--records", type=int, default=1_000_000)
    print(asyncio.run(_measure(parser.parse_args().records)))


if __name__ == "__main__":
    main()
