"""A program that buys something, reads it back, and handles what is refused.

Everything it knows of the shop is generated from the description of both APIs at their one
address.
"""

import os
from uuid import UUID

from shop_api import AuthenticatedClient
from shop_api.api.orders import cancel_order, confirm_order, get_order, list_orders, place_order
from shop_api.api.products import add_product
from shop_api.api.users import register_user
from shop_api.models import (
    AddProductBody,
    Changed,
    ChangedAnswer,
    Currency,
    DryRunAnswer,
    LineBody,
    Order,
    OrderAnswer,
    OrderListAnswer,
    OrderStatus,
    PlaceOrderBody,
    Problem,
    RegisterUserBody,
)
from shop_api.types import UNSET, Response, Unset

API = AuthenticatedClient(base_url=os.environ["API"], token=os.environ["TOKEN"])


def changed(answer: ChangedAnswer | DryRunAnswer | Problem | None) -> Changed:
    """What a command did."""
    if not isinstance(answer, ChangedAnswer):
        raise SystemExit(f"refused: {answer}")
    return answer.data


def refused(response: Response[ChangedAnswer | DryRunAnswer | Problem], status: int) -> Problem:
    """The problem of an answer that must be refused with this status."""
    expect("the status of the answer", int(response.status_code), status)
    if not isinstance(response.parsed, Problem):
        raise SystemExit(f"this is no problem: {response.parsed}")
    return response.parsed


def expect(what: str, found: object, expected: object) -> None:
    """Ends the program if something is not as expected."""
    if found != expected:
        raise SystemExit(f"{what}: {found}, not {expected}")


def place(user: UUID, product: UUID) -> UUID:
    """Places an order of two units."""
    lines = [LineBody(product_id=product, quantity=2)]
    body = PlaceOrderBody(user_id=user, lines=lines)
    return changed(place_order.sync(client=API, body=body)).id


def confirm(order: UUID) -> str:
    """Confirms an order and returns the token with which a query waits for that."""
    key = f"confirm-{order}"
    first = confirm_order.sync(order, client=API, idempotency_key=key)
    again = confirm_order.sync_detailed(order, client=API, idempotency_key=key)
    expect("the repeat", changed(again.parsed), changed(first))
    expect("its header", again.headers["Idempotent-Replayed"], "true")
    token = first.meta.consistency_token if isinstance(first, ChangedAnswer) else None
    if not isinstance(token, str):
        raise SystemExit("a command has no token")
    return token


def read(order: UUID, token: str) -> Order:
    """Reads an order as soon as it shows the effect of the command with this token."""
    answer = get_order.sync(order, client=API, consistency_token_header=token, prefer="wait=10")
    if not isinstance(answer, OrderAnswer):
        raise SystemExit(f"refused: {answer}")
    return answer.data


def listed(user: UUID, token: str) -> list[Order]:
    """All orders of a user, page by page."""
    orders: list[Order] = []
    cursor: str | Unset = UNSET
    while True:
        answer = list_orders.sync(
            client=API,
            user_id=user,
            page_size=1,
            consistency_token_query=token,
            cursor=cursor,
        )
        if not isinstance(answer, OrderListAnswer):
            raise SystemExit(f"refused: {answer}")
        orders.extend(answer.data)
        page = answer.meta.page
        if isinstance(page, Unset) or page.next_cursor is None:
            return orders
        cursor = page.next_cursor


def product_at(price: str) -> AddProductBody:
    """A product at a price."""
    return AddProductBody(
        name="Blue Train", unit_price=price, currency=Currency.USD, stock=12
    )


def main() -> None:
    """The whole purchase."""
    product = changed(add_product.sync(client=API, body=product_at("14.67"))).id
    registration = RegisterUserBody(email="python@example.com", name="Ada Lovelace")
    user = changed(register_user.sync(client=API, body=registration)).id

    place(user, product)
    order = place(user, product)
    token = confirm(order)
    shown = read(order, token)
    expect("the status", shown.status, OrderStatus.CONFIRMED)
    expect("the total", shown.total, "29.34")
    expect("the lines", [line.product_name for line in shown.lines], ["Blue Train"])
    expect("the orders", len(listed(user, token)), 2)

    # A rule says no.
    taken = refused(register_user.sync_detailed(client=API, body=registration), 409)
    expect("the code of a taken address", taken.code, "user/email-taken")

    # A field is not valid, which its type cannot say.
    invalid = refused(add_product.sync_detailed(client=API, body=product_at("14.679")), 422)
    fields = [] if isinstance(invalid.errors, Unset) else invalid.errors
    expect("the fields", [field.pointer for field in fields], ["/unit_price"])

    # A dry run says what would happen, in a type of its own.
    trial = cancel_order.sync(order, client=API, dry_run=True)
    if not isinstance(trial, DryRunAnswer):
        raise SystemExit(f"this was no dry run: {trial}")
    expect("the event", trial.data.events[0].type_, "order.sale_cancelled")

    print(order)


if __name__ == "__main__":
    main()
