"""The options of `dalmada endpoint`, each with its bounds and its help."""

from pathlib import Path
from typing import Annotated

import typer

from shared.billing.delivery import DeliveryStatus
from shared.billing.events import EventName

# The largest number PostgreSQL's bigint holds.
_ID_MAX = 2**63 - 1

EndpointId = Annotated[
    int,
    typer.Argument(metavar="ID", min=1, max=_ID_MAX, help="The number, from `endpoint list`."),
]
Url = Annotated[
    str, typer.Argument(metavar="URL", help="Where to post, for example https://shop.example/hook.")
]
Only = Annotated[
    list[EventName] | None,
    typer.Option(help="Only events of this name; may be said several times. All if left out."),
]
AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        help="It may be at an address that the internet does not reach, and by http://.",
    ),
]
OfDeliveryStatus = Annotated[DeliveryStatus | None, typer.Option(help="Only those of this status.")]
OfEvents = Annotated[
    list[int] | None,
    typer.Option(min=1, max=_ID_MAX, help="An event's number; may be said several times."),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From then on, for example 2026-01-31 or 2026-01-31T09:30, on Korean clocks unless an"
        " offset follows.",
    ),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Until then; now if left out.")]
GivenUp = Annotated[bool, typer.Option("--given-up", help="All that were given up.")]
Name = Annotated[
    EventName | None, typer.Argument(metavar="NAME", help="An event's name, such as invoice.paid.")
]
To = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write one file for each event there.")
]
