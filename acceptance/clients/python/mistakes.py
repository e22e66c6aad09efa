"""Mistakes that the type checker must find. Each line with one names the checker's code for it."""

from uuid import UUID

from shop_api import Client
from shop_api.api.orders import confirm_order
from shop_api.models import Order, OrderStatus, Problem, RegisterUserBody

EMAIL = "ada@example.com"
NAME = "Ada Lovelace"


def requests(client: Client) -> None:
    """Requests that the API refuses."""
    RegisterUserBody(email=EMAIL)  # wrong: call-arg
    RegisterUserBody(email=EMAIL, name=NAME, age=36)  # wrong: call-arg
    RegisterUserBody(email=EMAIL, name=36)  # wrong: arg-type
    RegisterUserBody(email=EMAIL, name=NAME, id="1")  # wrong: arg-type
    confirm_order.sync(client=client)  # wrong: call-arg
    confirm_order.sync(UUID(int=1), client=client, dry_run="yes")  # wrong: arg-type


def answers(order: Order | Problem) -> str:
    """Answers that are read as they never are."""
    if isinstance(order, Problem):
        raise SystemExit(order.reason)  # wrong: attr-defined
    if order.status == OrderStatus.SHIPED:  # wrong: attr-defined
        return order.currency
    if order.confirmed_at.year > 2026:  # wrong: union-attr
        return order.currency
    return order.lines[0].quantity  # wrong: return-value
