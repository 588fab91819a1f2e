"""Random sessions of many symbols: the compiled portfolio against `reference_portfolio`.

Every fill, trigger, cancellation and payment is the same, in the same order; money to 1e-6. A
session is a tape and what the owner asks for between its groups, all drawn from a seed.
"""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphintra.engine import Kind, Lifetime, Side
from alphintra.engine.portfolio import (
    NO_ORDER,
    AccountTerms,
    Costs,
    Sessions,
    Simulation,
    SymbolTerms,
    Tape,
    What,
    tape_of,
)
from alphintra.engine.series import ActionKind, Bars, CorporateActions, Quotes, Series, Trades
from tests.engine.reference_book import Ticket
from tests.engine.reference_portfolio import Portfolio

MINUTE_NS = 60 * 10**9
HOUR_NS = 3_600 * 10**9
CENT = Decimal("1e-6")
DRIVERS = (("bars",), ("quotes",), ("trades",), ("bars", "quotes", "trades"))
ORDER_KINDS = (Kind.MARKET, Kind.LIMIT, Kind.STOP, Kind.STOP_LIMIT, Kind.TRAILING_STOP)


@dataclass
class Wish:
    """What the owner asks for: a submission, or a cancellation of an order by number."""

    terms: dict[str, Any] = field(default_factory=dict)
    cancels: int = -1


@dataclass
class Story:
    """A tape and what is asked for before each of its groups."""

    tape: Tape
    terms: list[SymbolTerms]
    account: AccountTerms
    wishes: dict[int, list[Wish]]  #: by the first row of a group


# How a session is drawn.


def draw_prices(rng: Random, count: int) -> list[int]:
    price, prices = 100, []
    for _ in range(count):
        price = max(60, min(140, price + rng.choice((-4, -2, -1, 0, 0, 1, 2, 4))))
        prices.append(price)
    return prices


def draw_series(rng: Random, symbol: str, kind: str, count: int, step_ns: int) -> Series:
    at = np.arange(count, dtype=np.int64) * step_ns
    middle = np.array(draw_prices(rng, count + 1), float)
    sizes = np.array([rng.choice((1.0, 3.0, 8.0, 40.0, 200.0)) for _ in range(count)])
    if kind == "bars":
        first, last = middle[:-1], middle[1:]
        high = np.maximum(first, last) + [rng.randint(0, 4) for _ in range(count)]
        low = np.minimum(first, last) - [rng.randint(0, 4) for _ in range(count)]
        return Bars.of_length(
            symbol, at, step_ns, open=first, high=high, low=low, close=last, volume=sizes
        )
    if kind == "quotes":
        spread = np.array([rng.randint(1, 3) for _ in range(count)], float)
        known = np.array([rng.random() < 0.5 for _ in range(count)])
        sizes = np.where(known, sizes, np.nan)
        return Quotes(symbol, at + step_ns, middle[1:], middle[1:] + spread, sizes, sizes)
    side = np.zeros(count, np.int8)
    return Trades(symbol, at + step_ns, middle[1:], sizes, side)


def draw_costs(rng: Random) -> Costs:
    return rng.choice(
        (
            Costs(),
            Costs(rate=0.001),
            Costs(rate=0.002, maker_rate=-0.0005),
            Costs(per_unit=0.05, minimum=1.0, maximum=3.0),
            Costs(per_order=1.5, rate=0.0005),
            Costs(rate=0.003, tiers=((2_000.0, 0.002), (9_000.0, 0.001))),
            Costs(half_spread_bps=5.0, slippage_bps=7.0, slippage_ticks=1),
            Costs(impact=0.1, rate=0.001, borrow_rate=0.2),
        )
    )


def draw_actions(rng: Random, symbol: str, span_ns: int) -> CorporateActions:
    chosen = sorted(
        (rng.randrange(1, span_ns), rng.choice((ActionKind.SPLIT, ActionKind.DIVIDEND,
                                               ActionKind.FUNDING)))
        for _ in range(rng.randint(0, 2))
    )  # fmt: skip
    if rng.random() < 0.15:
        chosen.append((span_ns - span_ns // 8, ActionKind.DELISTING))
        chosen.sort()
    ratios = [rng.choice(((2, 1), (3, 2), (1, 2))) for _ in chosen]
    return CorporateActions(
        symbol,
        np.array([at for at, _ in chosen], np.int64),
        np.array([kind for _, kind in chosen], np.int8),
        np.array([over for over, _ in ratios], np.int64),
        np.array([under for _, under in ratios], np.int64),
        np.array([rng.choice((0.01, 0.5)) for _ in chosen], float),
    )


def draw_order(
    rng: Random, symbols: int, orders: int, story_ns: int, plain: bool
) -> dict[str, Any]:
    kind = rng.choice(ORDER_KINDS)
    side = rng.choice((Side.BUY, Side.SELL))
    near = 100 + rng.randint(-14, 14)
    terms: dict[str, Any] = {
        "symbol": rng.randrange(symbols),
        "side": side,
        "kind": kind,
        "lots": rng.choice((1, 2, 5, 10, 30)),
    }
    if kind in (Kind.LIMIT, Kind.STOP_LIMIT):
        terms["limit"] = near
    if kind in (Kind.STOP, Kind.STOP_LIMIT):
        terms["stop"] = 100 + rng.randint(-14, 14)
    if kind == Kind.TRAILING_STOP:
        if rng.random() < 0.5:
            terms["trail_ticks"] = rng.randint(1, 6)
        else:
            terms["trail_bps"] = rng.choice((50, 300))
    if rng.random() < 0.15:
        terms["lifetime"] = rng.choice((Lifetime.IOC, Lifetime.FOK))
    elif kind in (Kind.LIMIT, Kind.STOP_LIMIT) and rng.random() < 0.2:
        terms["post_only"] = True
    if rng.random() < 0.15:
        terms["expires_ns"] = rng.randrange(1, story_ns)
    if rng.random() < 0.15:
        terms["reduce_only"] = True
    if kind in (Kind.MARKET, Kind.LIMIT) and rng.random() < 0.25:
        # It ends with its auction, and is not of the few that cannot be for one.
        terms["lifetime"] = rng.choice((Lifetime.OPG, Lifetime.CLS))
        terms.pop("post_only", None)
        terms.pop("expires_ns", None)
    if plain:
        return terms
    if kind == Kind.MARKET and rng.random() < 0.4 and "reduce_only" not in terms:
        terms |= {"weight": rng.choice((-0.5, -0.2, 0.0, 0.3, 0.7)), "lots": 0}
        if terms.get("lifetime") in (Lifetime.IOC, Lifetime.FOK):
            del terms["lifetime"]
    elif orders and rng.random() < 0.3:
        terms["sibling"] = rng.randrange(orders)
    return terms


def draw_bracket(rng: Random, symbols: int, number: int) -> list[dict[str, Any]]:
    """Return an entry with a profit target and a stop that follow it and end each other."""
    side = rng.choice((Side.BUY, Side.SELL))
    sign = 1 if side == Side.BUY else -1
    symbol, middle = rng.randrange(symbols), 100 + rng.randint(-8, 8)
    entry: dict[str, Any] = {"symbol": symbol, "side": side, "lots": rng.choice((2, 7, 20))}
    entry |= rng.choice(
        ({"kind": Kind.MARKET}, {"kind": Kind.LIMIT, "limit": middle},
         {"kind": Kind.STOP, "stop": middle})
    )  # fmt: skip
    if entry["kind"] != Kind.STOP and rng.random() < 0.2:
        entry["lifetime"] = rng.choice((Lifetime.OPG, Lifetime.CLS))
    out = {"symbol": symbol, "side": Side(1 - side), "lots": 0, "parent": number}
    profit = out | {"kind": Kind.LIMIT, "limit": middle + sign * rng.randint(1, 10)}
    loss = out | {"sibling": number + 1}
    loss |= rng.choice(
        ({"kind": Kind.STOP, "stop": middle - sign * rng.randint(1, 10)},
         {"kind": Kind.TRAILING_STOP, "trail_ticks": rng.randint(1, 8)})
    )  # fmt: skip
    if rng.random() < 0.5:
        profit["reduce_only"] = loss["reduce_only"] = True
    return [entry, profit, loss]


def draw_sessions(rng: Random, span_ns: int, step_ns: int) -> Sessions:
    """Return sessions of some steps each, which may begin and end within a bar, or without any."""
    edges, at_ns = [], rng.randrange(-step_ns, 4 * step_ns)
    while at_ns < span_ns + 4 * step_ns:
        length_ns = rng.randint(step_ns // 2, 12 * step_ns)
        length_ns -= length_ns % step_ns if length_ns > step_ns and rng.random() < 0.5 else 0
        edges.append((at_ns, at_ns + length_ns))
        at_ns += length_ns + rng.choice((0, step_ns // 3, step_ns, 5 * step_ns))
    return Sessions(np.array(edges))


def draw_story(rng: Random, kinds: tuple[str, ...]) -> Story:
    symbols = rng.randint(1, 3)
    names = [f"S{number}" for number in range(symbols)]
    count, step_ns = rng.randint(20, 60), rng.choice((MINUTE_NS, 6 * HOUR_NS))
    series = [
        draw_series(rng, name, rng.choice(kinds), count, step_ns * rng.choice((1, 1, 2)))
        for name in names
    ]
    actions = [draw_actions(rng, name, count * step_ns) for name in names if rng.random() < 0.4]
    terms = [
        SymbolTerms(
            symbol=name,
            tick_size=1.0,
            lot_size=rng.choice((1.0, 0.5)),
            multiplier=rng.choice((1.0, 1.0, 10.0)),
            costs=draw_costs(rng),
            margin_initial=rng.choice((1.0, 1.0, 0.5)),
            margin_maintenance=rng.choice((None, None, 0.2, 0.45)),
            shortable=rng.random() < 0.9,
            participation_bps=rng.choice((10_000, 2_500)),
            unlimited_volume=rng.random() < 0.5,
            through_only=rng.random() < 0.2,
            sessions=draw_sessions(rng, count * step_ns, step_ns),
        )
        for name in names
    ]
    account = AccountTerms(
        cash={"USD": rng.choice((1_000.0, 3_000.0, 10_000.0, 1_000_000.0))},
        leverage=rng.choice((1.0, 1.0, 2.0, 4.0)),
        allow_short=rng.random() < 0.85,
        shrink=rng.random() < 0.7,
        liquidation=rng.random() < 0.8,
        latency_ns=rng.choice((0, 0, 0, step_ns // 2)),
    )
    tape = tape_of(series, terms, actions)
    return Story(tape, terms, account, draw_wishes(rng, tape, symbols))


def draw_wishes(rng: Random, tape: Tape, symbols: int) -> dict[int, list[Wish]]:
    wishes: dict[int, list[Wish]] = {}
    owners: list[int] = []  # the symbol of each order
    end_ns = int(tape.close_ns[-1])
    for first, _ in groups(tape):
        asked = []
        while rng.random() < 0.3:
            roll = rng.random()
            if roll < 0.15 and owners:
                asked.append(Wish(cancels=rng.randrange(len(owners))))
            elif roll < 0.35:
                asked += [Wish(terms) for terms in draw_bracket(rng, symbols, len(owners))]
                owners += [asked[-1].terms["symbol"]] * 3
            else:
                terms = draw_order(rng, symbols, len(owners), end_ns, plain=rng.random() < 0.5)
                if "sibling" in terms and owners[terms["sibling"]] != terms["symbol"]:
                    del terms["sibling"]
                asked.append(Wish(terms))
                owners.append(terms["symbol"])
        if asked:
            wishes[first] = asked
    return wishes


def groups(tape: Tape) -> list[tuple[int, int]]:
    """Return the first row of each group and the row behind it."""
    starts = [0]
    for row in range(1, len(tape)):
        apart = tape.close_ns[row] != tape.close_ns[row - 1]
        if apart or (tape.kind[row] == 3) != (tape.kind[row - 1] == 3):
            starts.append(row)
    return list(zip(starts, [*starts[1:], len(tape)], strict=True))


# How it is told.


def told_by_engine(story: Story) -> tuple[list[tuple[Any, ...]], Simulation]:
    simulation = Simulation(story.tape, story.terms, story.account)
    for first in [*sorted(story.wishes), len(story.tape)]:
        while simulation.cursor < first:
            stop = simulation.next_stop(first)
            simulation.advance(stop)
            if stop < first:
                simulation.process()
        for wish in story.wishes.get(first, ()):
            if wish.cancels >= 0:
                simulation.cancel(wish.cancels)
            else:
                submit(simulation, wish.terms)
    simulation.finish()
    return [read(row) for row in simulation.journal()], simulation


def submit(simulation: Simulation, terms: dict[str, Any]) -> None:
    given = dict(terms)
    names = {"limit": "limit_price_ticks", "stop": "stop_price_ticks"}
    place = (given.pop("symbol"), given.pop("side"), given.pop("kind"), given.pop("lots"))
    simulation.submit(*place, **{names.get(name, name): value for name, value in given.items()})


def read(row: Any) -> tuple[Any, ...]:
    what = What(int(row["what"]))
    match what:
        case What.FILL:
            return (
                "FILL", int(row["order"]), int(row["symbol"]), int(row["side"]), int(row["lots"]),
                float(row["price"]), float(row["fee"]), bool(row["is_maker"]), int(row["ts_ns"]),
            )  # fmt: skip
        case What.CANCELED | What.REJECTED:
            return (what.name, int(row["order"]), int(row["cause"]))
        case What.TRIGGERED | What.EXPIRED:
            return (what.name, int(row["order"]))
        case What.REDUCED:
            return (what.name, int(row["order"]), int(row["lots"]))
        case What.DELISTING:
            return (what.name, int(row["symbol"]))
        case What.LIQUIDATION:
            return (what.name,)
        case _:
            return (what.name, int(row["symbol"]), float(row["cash"]))


def told_by_reference(story: Story) -> Portfolio:
    rows = [tuple(int(value) for value in column) for column in story.tape.cells.T]
    portfolio = Portfolio(story.terms, story.account, rows)
    for first, end in groups(story.tape):
        for wish in story.wishes.get(first, ()):
            if wish.cancels >= 0:
                portfolio.cancel(portfolio.tickets[wish.cancels])
                continue
            given = {name: value for name, value in wish.terms.items() if name != "sibling"}
            parent = given.pop("parent", NO_ORDER)
            ticket = Ticket(number=len(portfolio.tickets), **given)
            if parent != NO_ORDER:
                ticket.parent = portfolio.tickets[parent]
                ticket.follows = ticket.lots == 0
            sibling = wish.terms.get("sibling", NO_ORDER)
            other = None if sibling == NO_ORDER else portfolio.tickets[sibling]
            portfolio.submit(ticket, other)
        portfolio.process(rows[first:end])
    portfolio.finish()
    return portfolio


def is_same(told: tuple[Any, ...], expected: tuple[Any, ...]) -> bool:
    if len(told) != len(expected):
        return False
    return all(
        abs(Decimal(one) - other) <= CENT if isinstance(other, Decimal) else one == other
        for one, other in zip(told, expected, strict=True)
    )


def compare(story: Story) -> Portfolio:
    """Run both; the first difference is told with what came before it."""
    journal, simulation = told_by_engine(story)
    portfolio = told_by_reference(story)
    for place, (told, expected) in enumerate(zip(journal, portfolio.journal, strict=False)):
        if not is_same(told, expected):
            before = "\n".join(map(str, portfolio.journal[max(0, place - 6) : place]))
            number = expected[1] if len(expected) > 1 else None
            terms = next(
                (
                    portfolio.tickets[n]
                    for n in (number, told[1] if len(told) > 1 else None)
                    if isinstance(n, int) and 0 <= n < len(portfolio.tickets)
                ),
                None,
            )
            raise AssertionError(f"…\n{before}\n{told} instead of\n{expected}\n{_brief(terms)}")
    assert len(journal) == len(portfolio.journal), (
        journal[len(portfolio.journal) :],
        portfolio.journal[len(journal) :],
    )
    assert abs(Decimal(simulation.cash()) - portfolio.cash) <= CENT
    return portfolio


def _brief(ticket: Ticket | None) -> str:
    if ticket is None:
        return ""
    hidden = ("children", "ring", "parent")
    return str({name: value for name, value in vars(ticket).items() if name not in hidden})


@pytest.mark.parametrize("kinds", DRIVERS, ids="+".join)
def test_seeded_sessions_are_the_same(kinds: tuple[str, ...]) -> None:
    happened: Counter[object] = Counter()
    for seed in range(150):
        portfolio = compare(draw_story(Random(f"{kinds} {seed}"), kinds))
        happened.update(entry[0] for entry in portfolio.journal)
        happened.update(
            (ticket.lifetime, "FILLED" if ticket.filled else ticket.status)
            for ticket in portfolio.tickets
        )
    # The sessions are about something: each kind of event is there, most of them often.
    assert happened["FILL"] > 1_000
    for what in ("TRIGGERED", "CANCELED", "REJECTED", "REDUCED", "EXPIRED"):
        assert happened[what] > 10, what
    for what in ("LIQUIDATION", "SPLIT", "DIVIDEND", "FUNDING", "DELISTING"):
        assert happened[what] > 0, what
    for lifetime in (Lifetime.OPG, Lifetime.CLS):
        assert happened[lifetime, "FILLED"] > 20, lifetime
        assert happened[lifetime, "EXPIRED"] > 5, lifetime


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), kinds=st.sampled_from(DRIVERS))
def test_any_session_is_the_same(rng: Random, kinds: tuple[str, ...]) -> None:
    compare(draw_story(rng, kinds))


def test_a_session_repeated_gives_the_same_bytes() -> None:
    runs = [told_by_engine(draw_story(Random("again"), DRIVERS[-1]))[1] for _ in range(2)]
    assert runs[0].journal().tobytes() == runs[1].journal().tobytes()
    assert len(runs[0].journal()) > 20
