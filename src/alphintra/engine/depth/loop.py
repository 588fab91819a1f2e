"""The loop that calls a compiled strategy every so often."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import numba

from alphintra.engine.compile import compiled
from alphintra.engine.depth.clock import advance
from alphintra.engine.depth.desk import best_ask, best_bid
from alphintra.engine.depth.layout import Desk, Ladder, Market, Pause
from alphintra.engine.depth.quoting import quote_with_skew

#: A compiled function of what is seen and the desk that trades.
Strategy = Callable[[Ladder, Desk], None]
#: Calls a strategy every `every_ns` until `until_ns`; returns a `Pause`, after which it goes on.
Run = Callable[[Market, int, int], int]
#: How many requests a strategy may send in one call.
REQUESTS_PER_CALL: Final = 256


@compiled
def is_roomy(market: Market) -> bool:
    """Say whether the logs have room for whatever the strategy does in its next call."""
    state = market.state[0]
    return bool(
        state["orders"] + REQUESTS_PER_CALL <= len(market.desk.orders)
        and state["requests"] + REQUESTS_PER_CALL <= len(market.desk.requests)
        and state["marks"] < len(market.marks)
    )


@compiled
def keep_mark(market: Market) -> None:
    """Write down how the market and the account stand, if anybody wants to know."""
    state = market.state[0]
    if not state["keeps_marks"]:
        return
    mark = market.marks[state["marks"]]
    state["marks"] += 1
    mark["ts_ns"] = state["now_ns"]
    mark["bid_ticks"] = best_bid(market.seen)
    mark["ask_ticks"] = best_ask(market.seen)
    mark["position_lots"] = state["position_lots"]
    mark["cash_ticks"] = state["cash_ticks"]
    mark["fee_ticks"] = state["fee_ticks"]


@compiled
def pass_time(market: Market, every_ns: int, until_ns: int) -> int:
    """Go on to the strategy's next call; return a `Pause`."""
    if not is_roomy(market):
        return Pause.NEEDS_ROOM
    if advance(market, min(market.state[0]["now_ns"] + every_ns, until_ns)) == Pause.NEEDS_ROOM:
        return Pause.NEEDS_ROOM
    keep_mark(market)
    return Pause.DONE


@compiled
def run_quote_with_skew(market: Market, every_ns: int, until_ns: int) -> int:
    """Run `quoting.quote_with_skew`: as `run_of` it, but kept compiled between processes."""
    while market.state[0]["now_ns"] < until_ns:
        if pass_time(market, every_ns, until_ns) == Pause.NEEDS_ROOM:
            return Pause.NEEDS_ROOM
        quote_with_skew(market.seen, market.desk)
        if market.state[0]["short_of_room"]:
            return Pause.NEEDS_ROOM
    return Pause.DONE


@cache
def run_of(strategy: Strategy) -> Run:
    """Return the loop around a strategy; a plain function is compiled first."""
    called: Any = strategy  # numba's dispatchers have no type
    if called is quote_with_skew:
        return run_quote_with_skew
    if not numba.extending.is_jitted(called):
        called = numba.njit(called)

    def run(market: Market, every_ns: int, until_ns: int) -> int:
        while market.state[0]["now_ns"] < until_ns:
            if pass_time(market, every_ns, until_ns) == Pause.NEEDS_ROOM:
                return Pause.NEEDS_ROOM
            called(market.seen, market.desk)
            if market.state[0]["short_of_room"]:
                return Pause.NEEDS_ROOM
        return Pause.DONE

    return cast(Run, numba.njit(run))
