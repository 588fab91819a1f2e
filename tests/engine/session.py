"""A simulator as the scenarios of the tests speak to it."""

from typing import Any

from alphintra.engine import Event, EventKind, Kind, MarketSimulator, Outcome, Reason, Side


class Desk:
    """A simulator that gives orders letters and writes events the way a person would."""

    def __init__(self, **how: Any) -> None:
        self.simulator = MarketSimulator(**how)
        self.names: dict[int, str] = {}
        self.now = 0

    def handle(self, name: str) -> int:
        return next(handle for handle, known in self.names.items() if known == name)

    def order(self, name: str, side: Side, kind: Kind, lots: int, **terms: int) -> list[str]:
        handle, events = self.simulator.submit(side, kind, lots, ts_ns=self.now, **terms)  # type: ignore[arg-type]
        self.names[handle] = name
        return self.told(events)

    def market(self, name: str, side: Side, lots: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.MARKET, lots, **terms)

    def limit(self, name: str, side: Side, lots: int, price: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.LIMIT, lots, limit_price_ticks=price, **terms)

    def stop(self, name: str, side: Side, lots: int, price: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.STOP, lots, stop_price_ticks=price, **terms)

    def stop_limit(
        self, name: str, side: Side, lots: int, stop: int, limit: int, **terms: int
    ) -> list[str]:
        prices = {"stop_price_ticks": stop, "limit_price_ticks": limit}
        return self.order(name, side, Kind.STOP_LIMIT, lots, **prices, **terms)

    def trail(self, name: str, side: Side, lots: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.TRAILING_STOP, lots, **terms)

    def quote(self, bid: int, ask: int, bid_lots: int = -1, ask_lots: int = -1) -> list[str]:
        return self.told(
            self.simulator.on_quote(bid, ask, bid_lots=bid_lots, ask_lots=ask_lots, ts_ns=self.now)
        )

    def trade(self, price: int, lots: int = -1) -> list[str]:
        return self.told(self.simulator.on_trade(price, lots, ts_ns=self.now))

    def bar(self, opening: int, high: int, low: int, close: int, volume: int = -1) -> list[str]:
        """Show a bar that begins now and takes ten nanoseconds."""
        begun = self.now
        self.now += 10
        return self.told(
            self.simulator.on_bar(
                opening, high, low, close, volume_lots=volume, open_ns=begun, close_ns=self.now
            )
        )

    def modify(self, name: str, kind: Kind, lots: int, **terms: int) -> tuple[Outcome, list[str]]:
        outcome, events = self.simulator.modify(
            self.handle(name), kind, lots, ts_ns=self.now, **terms
        )
        return outcome, self.told(events)

    def told(self, events: list[Event]) -> list[str]:
        return [self.tell(event) for event in events]

    def tell(self, event: Event) -> str:
        name = self.names[event.handle]
        match EventKind(event.kind):
            case EventKind.FILL:
                role = "maker" if event.is_maker else "taker"
                return f"{name}: {event.lots} at {event.price_ticks}, {role}"
            case EventKind.TRIGGERED:
                return f"{name}: triggered at {event.price_ticks}"
            case EventKind.CANCELED:
                return f"{name}: {Reason(event.reason).name.lower()}"
            case EventKind.EXPIRED:
                return f"{name}: expired"
