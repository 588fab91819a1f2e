"""The compiled engine and the reference agree, order by order, on any sequence of events."""

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.engine import (
    NEVER_NS,
    NO_PRICE,
    UNKNOWN_SIZE,
    Event,
    EventKind,
    Kind,
    Lifetime,
    MarketSimulator,
    Outcome,
    Reason,
    Side,
)
from tests.engine.reference import Order, Reference

prices = st.integers(94, 106)
lots = st.integers(1, 12)
sizes = st.none() | st.integers(0, 15)
expiries = st.sampled_from([None, None, None, 5, 15, 30])
elapsed = st.integers(0, 3)
#: How long an order for an auction waits for an event after it.
WAIT_NS = 8
#: Market data can be older, by its own time, than an order that was there before it.
lateness = st.sampled_from([0, 0, 0, 2])

submissions = st.fixed_dictionaries(
    {
        "do": st.just("submit"),
        "side": st.sampled_from(Side),
        "kind": st.sampled_from(Kind),
        "lots": lots,
        "limit": prices,
        "stop": prices,
        "trail_ticks": st.integers(0, 5),
        "trail_bps": st.integers(1, 600),
        "lifetime": st.sampled_from([*[Lifetime.REST] * 6, *Lifetime]),
        "auction": st.sampled_from([2, 6, 12, 20]),
        "post_only": st.sampled_from([False, False, False, True]),
        "expires": expiries,
    }
)
modifications = st.fixed_dictionaries(
    {
        "do": st.just("modify"),
        "number": st.integers(0, 15),
        "lots": lots,
        "shift": st.integers(-5, 5),
        "expires": expiries,
    }
)
cancellations = st.fixed_dictionaries({"do": st.just("cancel"), "number": st.integers(0, 15)})
expirations = st.just({"do": "expire"})
quotes = st.builds(
    lambda bid, spread, bid_lots, ask_lots, missing, late: {
        "late": late,
        "do": "quote",
        "bid": None if missing == "bid" else bid,
        "ask": None if missing == "ask" else bid + spread,
        "bid_lots": bid_lots,
        "ask_lots": ask_lots,
    },
    prices,
    st.integers(0, 3),
    sizes,
    sizes,
    st.sampled_from(["", "", "", "bid", "ask"]),
    lateness,
)
trades = st.fixed_dictionaries(
    {"do": st.just("trade"), "price": prices, "size": sizes, "late": lateness}
)
bars = st.builds(
    lambda four, volume, length, late: {
        "late": late,
        "do": "bar",
        "open": four[0],
        "close": four[1],
        "low": min(four),
        "high": max(four),
        "volume": volume,
        "length": length,
    },
    st.tuples(prices, prices, prices, prices),
    st.none() | st.integers(0, 40),
    st.integers(0, 3),
    lateness,
)


def sessions(*market: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[Any]]:
    """Orders and the given kinds of market data, each step with the time since the one before."""
    steps = st.one_of(submissions, submissions, modifications, cancellations, expirations, *market)
    return st.lists(st.tuples(elapsed, steps), min_size=4, max_size=30)


rules = st.fixed_dictionaries(
    {
        "slippage_ticks": st.integers(0, 2),
        "participation_bps": st.sampled_from([10_000, 5_000, 3_333, 0]),
        "through_only": st.booleans(),
    }
)


@dataclass
class Both:
    """Feeds the same steps to both and compares what they say."""

    simulator: MarketSimulator
    reference: Reference

    def __post_init__(self) -> None:
        self.now = 0
        self.handles: list[int] = []
        self.terms: list[dict[str, Any]] = []
        self.log: list[Event] = []

    def run(self, session: list[tuple[int, dict[str, Any]]]) -> None:
        for wait, step in session:
            self.now += wait
            self.market_ns = max(0, self.now - step.get("late", 0))
            events = getattr(self, f"_{step['do']}")(step)
            self.log += events
            assert [self.told(event) for event in events] == self.reference.take_events()
            assert self.simulator.open_orders == len(self.reference.orders)

    def told(self, event: Event) -> tuple[object, ...]:
        number = self.handles.index(event.handle)
        kind = EventKind(event.kind)
        told: tuple[object, ...]
        match kind:
            case EventKind.FILL:
                told = (event.lots, event.price_ticks, bool(event.is_maker))
            case EventKind.TRIGGERED:
                told = (event.lots, event.price_ticks)
            case EventKind.CANCELED:
                told = (event.lots, Reason(event.reason))
            case EventKind.EXPIRED:
                told = (event.lots,)
        return (kind.name, number, *told, event.ts_ns)

    def _submit(self, step: dict[str, Any]) -> list[Event]:
        kind = step["kind"]
        limited = kind in (Kind.LIMIT, Kind.STOP_LIMIT)
        trails = kind == Kind.TRAILING_STOP
        lifetime = step["lifetime"]
        for_auction = lifetime >= Lifetime.OPG and kind in (Kind.MARKET, Kind.LIMIT)
        if lifetime >= Lifetime.OPG and not for_auction:
            lifetime = Lifetime.REST
        auction_ns = step["auction"] if for_auction else None
        expires_ns = step["expires"] if auction_ns is None else auction_ns + WAIT_NS
        terms: dict[str, Any] = {
            "limit": step["limit"] if limited else None,
            "stop": step["stop"] if kind in (Kind.STOP, Kind.STOP_LIMIT) else None,
            "trail_ticks": step["trail_ticks"] if trails else 0,
            "trail_bps": step["trail_bps"] if trails and not step["trail_ticks"] else 0,
            "post_only": step["post_only"] and limited and lifetime == Lifetime.REST,
        }
        order = Order(
            number=len(self.handles),
            side=step["side"],
            kind=kind,
            lots=step["lots"],
            lifetime=lifetime,
            expires_ns=expires_ns,
            auction_ns=auction_ns,
            accepted_ns=self.now,
            **terms,
        )
        self.terms.append({"kind": kind, "lifetime": lifetime, **terms})
        self.reference.submit(order)
        handle, events = self.simulator.submit(
            step["side"],
            kind,
            step["lots"],
            ts_ns=self.now,
            limit_price_ticks=NO_PRICE if terms["limit"] is None else terms["limit"],
            stop_price_ticks=NO_PRICE if terms["stop"] is None else terms["stop"],
            trail_ticks=terms["trail_ticks"],
            trail_bps=terms["trail_bps"],
            lifetime=lifetime,
            post_only=terms["post_only"],
            expires_ns=NEVER_NS if expires_ns is None else expires_ns,
            auction_ns=NEVER_NS if auction_ns is None else auction_ns,
        )
        assert handle not in self.handles, "a handle never comes back"
        self.handles.append(handle)
        return events

    def _modify(self, step: dict[str, Any]) -> list[Event]:
        if step["number"] >= len(self.handles):
            return []
        terms, shift = dict(self.terms[step["number"]]), step["shift"]
        for name in ("limit", "stop"):
            if terms[name] is not None:
                terms[name] += shift
        if terms["trail_ticks"]:
            terms["trail_ticks"] = max(1, terms["trail_ticks"] + abs(shift))
        elif terms["trail_bps"]:
            terms["trail_bps"] += abs(shift)
        expected = self.reference.modify(
            step["number"], step["lots"], shift, step["expires"], self.now
        )
        outcome, events = self.simulator.modify(
            self.handles[step["number"]],
            terms["kind"],
            step["lots"],
            ts_ns=self.now,
            limit_price_ticks=NO_PRICE if terms["limit"] is None else terms["limit"],
            stop_price_ticks=NO_PRICE if terms["stop"] is None else terms["stop"],
            trail_ticks=terms["trail_ticks"],
            trail_bps=terms["trail_bps"],
            expires_ns=NEVER_NS if step["expires"] is None else step["expires"],
        )
        assert outcome.name == expected
        if outcome == Outcome.DONE:
            self.terms[step["number"]] = terms
        return events

    def _cancel(self, step: dict[str, Any]) -> list[Event]:
        if step["number"] >= len(self.handles):
            return []
        self.reference.cancel(step["number"], self.now)
        return self.simulator.cancel(self.handles[step["number"]], ts_ns=self.now)

    def _expire(self, step: dict[str, Any]) -> list[Event]:
        self.reference.pass_time(self.now)
        return self.simulator.expire(self.now)

    def _quote(self, step: dict[str, Any]) -> list[Event]:
        self.reference.on_quote(
            step["bid"], step["ask"], step["bid_lots"], step["ask_lots"], self.market_ns
        )
        return self.simulator.on_quote(
            NO_PRICE if step["bid"] is None else step["bid"],
            NO_PRICE if step["ask"] is None else step["ask"],
            bid_lots=UNKNOWN_SIZE if step["bid_lots"] is None else step["bid_lots"],
            ask_lots=UNKNOWN_SIZE if step["ask_lots"] is None else step["ask_lots"],
            ts_ns=self.market_ns,
        )

    def _trade(self, step: dict[str, Any]) -> list[Event]:
        self.reference.on_trade(step["price"], step["size"], self.market_ns)
        size = UNKNOWN_SIZE if step["size"] is None else step["size"]
        return self.simulator.on_trade(step["price"], size, ts_ns=self.market_ns)

    def _bar(self, step: dict[str, Any]) -> list[Event]:
        begun = self.market_ns
        self.now += step["length"]
        four = (step["open"], step["high"], step["low"], step["close"])
        self.reference.on_bar(*four, step["volume"], begun, self.now)
        return self.simulator.on_bar(
            *four,
            volume_lots=UNKNOWN_SIZE if step["volume"] is None else step["volume"],
            open_ns=begun,
            close_ns=self.now,
        )


def compare(session: list[Any], how: dict[str, Any]) -> Both:
    both = Both(MarketSimulator(**how), Reference(**how))
    both.run(session)
    return both


@settings(deadline=None, max_examples=150)
@given(session=sessions(quotes, quotes, quotes), how=rules)
def test_quotes_fill_as_the_reference_says(session: list[Any], how: dict[str, Any]) -> None:
    compare(session, how)


@settings(deadline=None, max_examples=150)
@given(session=sessions(trades, trades, trades), how=rules)
def test_prints_fill_as_the_reference_says(session: list[Any], how: dict[str, Any]) -> None:
    compare(session, how)


@settings(deadline=None, max_examples=150)
@given(session=sessions(bars, bars, bars), how=rules)
def test_bars_fill_as_the_reference_says(session: list[Any], how: dict[str, Any]) -> None:
    compare(session, how)


@settings(deadline=None, max_examples=150)
@given(session=sessions(quotes, trades, bars), how=rules)
def test_mixed_data_fills_as_the_reference_says(session: list[Any], how: dict[str, Any]) -> None:
    compare(session, how)


@settings(deadline=None, max_examples=150)
@given(session=sessions(quotes, trades, bars), how=rules)
def test_the_same_input_gives_the_same_bytes(session: list[Any], how: dict[str, Any]) -> None:
    first, second = compare(session, how), compare(session, how)
    assert first.log == second.log
    for name, array in first.simulator._book._asdict().items():
        if name != "hits":
            assert array.tobytes() == getattr(second.simulator._book, name).tobytes(), name


def random_step(rng: Random, market: str) -> dict[str, Any]:
    """Draw a step of a long session: prices near 1,000, orders spread around them."""
    do = rng.choices(["submit", "modify", "cancel", "expire", market], [6, 1, 1, 1, 6])[0]
    if do == "mixed":
        do = rng.choice(["quote", "trade", "bar"])
    price, size = rng.randint(980, 1_020), rng.choice([None, 0, 3, 10, 40])
    match do:
        case "submit":
            return {
                "do": do,
                "side": rng.choice(list(Side)),
                "kind": rng.choice([Kind.LIMIT, Kind.LIMIT, *Kind]),
                "lots": rng.randint(1, 20),
                "limit": rng.randint(970, 1_030),
                "stop": rng.randint(970, 1_030),
                "trail_ticks": rng.choice([0, 4, 20]),
                "trail_bps": rng.randint(1, 300),
                "lifetime": rng.choices(list(Lifetime), [20, 1, 1, 8, 8])[0],
                "auction": rng.randint(0, 450),
                "post_only": rng.random() < 0.2,
                "expires": rng.choice([None, None, rng.randint(0, 1_000)]),
            }
        case "modify" | "cancel":
            shift = rng.choice([0, 0, -9, -2, 3, 7])
            number, lots = rng.randint(0, 200), rng.randint(1, 20)
            return {"do": do, "number": number, "lots": lots, "shift": shift, "expires": None}
        case "quote":
            sizes = {"bid_lots": size, "ask_lots": rng.choice([None, 0, 5, 30])}
            sides = {"bid": price, "ask": price + rng.randint(1, 4)}
            return {"do": do, **sides, **sizes, "late": rng.choice([0, 0, 0, 2])}
        case "trade":
            return {"do": do, "price": price, "size": size, "late": rng.choice([0, 0, 0, 2])}
        case "bar":
            four = [price, *(price + rng.randint(-12, 12) for _ in range(3))]
            ends = {"open": four[0], "close": four[1], "low": min(four), "high": max(four)}
            times = {"length": rng.randint(0, 3), "late": rng.choice([0, 0, 0, 2])}
            return {"do": do, **ends, "volume": size, **times}
        case _:
            return {"do": do}


@pytest.mark.parametrize("market", ["quote", "trade", "bar", "mixed"])
@pytest.mark.parametrize("seed", range(12))
def test_long_sessions_fill_as_the_reference_says(market: str, seed: int) -> None:
    """The book grows and shrinks many times, and dozens of orders meet one event."""
    rng = Random(f"{market} {seed}")
    session = [(rng.randint(0, 2), random_step(rng, market)) for _ in range(400)]
    how = {
        "slippage_ticks": rng.randint(0, 2),
        "participation_bps": rng.choice([10_000, 2_500]),
        "through_only": rng.random() < 0.5,
    }
    both = compare(session, how)
    assert len(both.log) > 50, "a session in which little happens shows little"
    auctions = {Lifetime.OPG, Lifetime.CLS}
    filled = {event.handle for event in both.log if event.kind == EventKind.FILL}
    lifetimes = zip(both.handles, (terms["lifetime"] for terms in both.terms), strict=True)
    dealt = {lifetime for handle, lifetime in lifetimes if handle in filled}
    assert dealt & auctions, "some auction was held"
