"""The server's side of a session: orders sent and asked for, each refusal as a value."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

import alphintra.cli.errors as cli
from alphintra.cli.client import Api
from alphintra.cli.errors import Unreachable
from alphintra.sdk.live.host import InDoubt, Refused
from alphintra.sdk.live.orders import Known
from alphintra.sdk.live.told import Execution, OrderState

#: Orders and executions that are read back at a start, at most.
HISTORY_MAX: Final = 20_000


class Desk:
    """Orders in some symbols over the API: the gateway of a live host."""

    def __init__(self, api: Api, symbols: Sequence[str]) -> None:
        self._api = api
        self._symbols = frozenset(symbols)
        #: Asked for, where there is one: a list by symbol would need one request for each.
        self._symbol = symbols[0] if len(symbols) == 1 else None

    def place(self, known: Known, body: Mapping[str, Any]) -> list[OrderState]:
        """See `Gateway`; asked again while no answer comes, which its name makes harmless."""
        try:
            order = self._api.post("/orders", body, repeat=True)
            legs = self._api.get(f"/orders/{order['id']}")["legs"] if "order_class" in body else []
            return [state_of(view) for view in (order, *legs)]
        except Unreachable as error:
            raise InDoubt(error.detail) from error
        except cli.Refused as refused:
            if refused.status >= 500 or refused.status == 429:
                raise InDoubt(refused.detail) from refused
            raise Refused(f"{refused.detail} [{refused.code}]") from refused

    def cancel(self, known: Known) -> OrderState:
        """See `Gateway`."""
        if not known.server_id:
            raise InDoubt("the server has not told of it yet")
        try:
            try:
                return state_of(self._api.delete(f"/orders/{known.server_id}"))
            except cli.Refused as refused:
                if refused.code != "order_not_open":
                    raise
                # It has filled, or went with its sibling.
                return self.order(known.server_id)
        except (Unreachable, cli.Refused) as error:
            raise InDoubt(f"{error.detail} [{error.code}]") from error

    def price(self, symbol: str, *, is_buy: bool) -> float:
        """See `Gateway`."""
        try:
            quote = self._api.get(f"/market-data/quotes/{symbol}")
        except Unreachable as error:
            raise InDoubt(error.detail) from error
        except cli.Refused as refused:
            raise Refused(f"{refused.detail} [{refused.code}]") from refused
        price = (quote["ask"] if is_buy else quote["bid"]) or quote["last"]
        if not price:
            raise Refused(f"there is no price of {symbol}")
        return float(price)

    def orders(self) -> list[OrderState]:
        """Return all orders in the symbols, oldest first."""
        return [state_of(view) for view in self._pages("/orders")]

    def executions(self) -> list[Execution]:
        """Return all executions in the symbols, oldest first."""
        return [execution_of(view) for view in self._pages("/trades")]

    def order(self, server_id: str) -> OrderState:
        """Return an order."""
        return state_of(self._api.get(f"/orders/{server_id}"))

    def named(self, name: str) -> Iterator[OrderState]:
        """Return the order of a client order id, and its exits; nothing when there is none."""
        for order in self._api.get("/orders", client_order_id=name)["items"]:
            yield state_of(order)
            yield from map(state_of, self._api.get(f"/orders/{order['id']}")["legs"])

    def _pages(self, path: str) -> list[Any]:
        found = self._api.pages(path, limit=HISTORY_MAX, symbol=self._symbol)[::-1]
        return [view for view in found if view["symbol"] in self._symbols]


def state_of(view: Mapping[str, Any]) -> OrderState:
    """Read an order of the API."""
    return msgspec.convert(view, OrderState)


def execution_of(view: Mapping[str, Any]) -> Execution:
    """Read an execution of the API or of its stream."""
    return msgspec.convert({"id": view.get("trade_id"), **view}, Execution)
