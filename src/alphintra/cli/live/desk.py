"""The server's side of a session: orders sent and asked for, each refusal as a value."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from alphintra.cli.client import Api
from alphintra.cli.errors import Refused, Unreachable

#: Orders and executions that are read back at a start, at most.
HISTORY_MAX: Final = 20_000


class Refusal(Exception):
    """The server has said no; nothing of the order is in the market."""


class InDoubt(Exception):
    """No answer came: whether the order is in the market has to be asked."""


class Gateway(Protocol):
    """What a host needs of the server."""

    def place(self, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Place an order; return it and, behind it, its exits.

        Raises:
            Refusal, InDoubt: as they say.
        """

    def cancel(self, server_id: str) -> Mapping[str, Any]:
        """Cancel an order and return it; one that was not open any more is returned as it is.

        Raises:
            InDoubt: no answer came.
        """

    def price(self, *, is_buy: bool) -> float:
        """Return the latest price that an order at the market would meet.

        Raises:
            Refusal, InDoubt: there is none, or no answer came.
        """


class Desk:
    """Orders in one symbol over the API."""

    def __init__(self, api: Api, symbol: str) -> None:
        self._api = api
        self._symbol = symbol

    def place(self, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """See `Gateway`; asked again while no answer comes, which its name makes harmless."""
        try:
            order = self._api.post("/orders", body, repeat=True)
            if "order_class" not in body:
                return [order]
            return [order, *self._api.get(f"/orders/{order['id']}")["legs"]]
        except Unreachable as error:
            raise InDoubt(error.detail) from error
        except Refused as refused:
            if refused.status >= 500 or refused.status == 429:
                raise InDoubt(refused.detail) from refused
            raise Refusal(f"{refused.detail} [{refused.code}]") from refused

    def cancel(self, server_id: str) -> Mapping[str, Any]:
        """See `Gateway`."""
        try:
            try:
                order: Mapping[str, Any] = self._api.delete(f"/orders/{server_id}")
            except Refused as refused:
                if refused.code != "order_not_open":
                    raise
                # It has filled, or went with its sibling.
                order = self.order(server_id)
        except (Unreachable, Refused) as error:
            raise InDoubt(f"{error.detail} [{error.code}]") from error
        return order

    def price(self, *, is_buy: bool) -> float:
        """See `Gateway`."""
        try:
            quote = self._api.get(f"/market-data/quotes/{self._symbol}")
        except Unreachable as error:
            raise InDoubt(error.detail) from error
        except Refused as refused:
            raise Refusal(f"{refused.detail} [{refused.code}]") from refused
        price = (quote["ask"] if is_buy else quote["bid"]) or quote["last"]
        if not price:
            raise Refusal(f"there is no price of {self._symbol}")
        return float(price)

    def orders(self) -> list[Any]:
        """Return all orders in the symbol, oldest first."""
        return self._api.pages("/orders", limit=HISTORY_MAX, symbol=self._symbol)[::-1]

    def executions(self, start: str | None = None) -> list[Any]:
        """Return all executions in the symbol from a time on, oldest first."""
        found = self._api.pages("/trades", limit=HISTORY_MAX, symbol=self._symbol, start=start)
        return found[::-1]

    def order(self, server_id: str) -> Any:  # JSON
        """Return an order with its exits."""
        return self._api.get(f"/orders/{server_id}")

    def named(self, name: str) -> Iterator[Any]:
        """Return the order of a client order id, and its exits; nothing when there is none."""
        for order in self._api.get("/orders", client_order_id=name)["items"]:
            yield order
            yield from self.order(order["id"])["legs"]
