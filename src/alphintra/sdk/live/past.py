"""What has become of a strategy's orders before, in the order in which it was told."""

from collections.abc import Sequence
from typing import NamedTuple

from alphintra.core.clock import to_ns
from alphintra.sdk.hosting import Status
from alphintra.sdk.live.host import LiveHost
from alphintra.sdk.live.orders import STATUSES, Names, time_of_name
from alphintra.sdk.live.told import Execution, OrderState

#: How the events of answers to fills begin in names.
FILL_EVENT = "fill-"


class Happened(NamedTuple):
    """A fill, or the end of an order without one."""

    known_ns: int  #: it goes before the candles that closed at this time or later
    news: Execution | OrderState


def fill_event(fill: Execution) -> str:
    """Return a fill as it stands in the names of orders that answer it."""
    return f"{FILL_EVENT}{fill.id.replace('-', '')}"


def happened(
    host: LiveHost, names: Names, orders: Sequence[OrderState], fills: Sequence[Execution]
) -> list[Happened]:
    """Return the fills and ends of own orders in their order.

    What is told belongs behind the candle at which its order was given, whatever the clocks say.

    Args:
        orders: as the server tells them; those of others are left out.
        fills: oldest first.
    """
    own = {order.id: known for order in orders if (known := host.remember(order)) is not None}
    answered: dict[str, int] = {}
    found: list[Happened] = []

    def given_ns(order_id: str) -> int:
        event = names.event_of(own[order_id].name)
        at_ns = time_of_name(event)
        return answered.get(event, 0) if at_ns is None else at_ns + 1

    before_ns = 0
    for fill in fills:
        if fill.order_id not in own:
            continue
        known_ns = max(given_ns(fill.order_id), to_ns(fill.executed_at))
        if fill.after_ns is not None:
            known_ns = fill.after_ns + 1
        before_ns = answered[fill_event(fill)] = max(before_ns, known_ns)
        found.append(Happened(before_ns, fill))
    for order in orders:
        status = STATUSES[order.status]
        if order.id not in own or status in {Status.OPEN, Status.FILLED}:
            continue
        known_ns = given_ns(order.id)
        if order.updated_at is not None:
            known_ns = max(known_ns, to_ns(order.updated_at))
        found.append(Happened(known_ns if order.after_ns is None else order.after_ns + 1, order))
    return sorted(found, key=lambda one: one.known_ns)  # fills first: sorting is stable
