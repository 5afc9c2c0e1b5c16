"""Names that other systems read: they stay, and each stands once where people look it up."""

import re

from shared.billing import errors
from shared.billing.errors import BillingError
from shared.billing.events import EventName


def test_every_event_is_a_noun_and_what_happened_to_it() -> None:
    assert [
        name for name in EventName if not re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z_]+", name)
    ] == []
    assert len(set(EventName)) == len(list(EventName.__members__))


def test_every_error_of_the_domain_is_in_its_tree_and_in_the_drawing() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(issubclass(kind, BillingError) for kind in kinds)
    assert issubclass(BillingError, ValueError)
    drawing = errors.__doc__ or ""
    assert [kind.__name__ for kind in kinds if kind.__name__ not in drawing] == []
