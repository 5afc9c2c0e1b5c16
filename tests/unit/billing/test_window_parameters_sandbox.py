"""The windows we make, read by the sandbox, which was written from the guide and not from us."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import given

from deploy.sandbox.window_request import Action, Mode, WindowRequest, read_request
from shared.billing.window_keys import ActionType
from shared.billing.window_parameters import OneOffWindow, RegistrationWindow
from tests.unit.billing.test_window_parameters_properties import (
    one_off_windows,
    registration_windows,
)

# Noon of the tests' day in Korea.
NOON_S: Final = datetime(2026, 3, 15, 3, tzinfo=UTC).timestamp()


def opened(window: OneOffWindow | RegistrationWindow) -> WindowRequest:
    """Hand a window to the sandbox as a browser does: as JSON."""
    handed: dict[str, Any] = json.loads(json.dumps(window.parameters()))
    return read_request(handed, mode=Mode.POPUP, at=NOON_S)


@given(one_off_windows())
def test_every_one_off_payment_opens_a_window_of_its_amount(window: OneOffWindow) -> None:
    request = opened(window)
    assert not request.is_registration
    assert (request.order.merchant_uid, request.order.name) == (
        window.merchant_uid,
        window.order_name,
    )
    assert (request.order.amount, request.order.tax_free) == (
        window.price.amount,
        window.price.tax_free,
    )
    assert [(product.uid, product.count) for product in request.products] == [
        (product.uid, product.count) for product in window.products
    ]


@given(registration_windows())
def test_every_registration_opens_a_window_of_its_billing_key(window: RegistrationWindow) -> None:
    request = opened(window)
    assert request.is_registration
    assert request.order.customer_uid == window.customer_uid
    assert request.product_code == window.product_code
    assert request.order.product_count == window.product_count
    assert (request.action is Action.CHANGE) == (window.action is ActionType.CHANGE)
