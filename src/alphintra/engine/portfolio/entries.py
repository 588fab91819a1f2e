"""The compiled functions that plain Python calls: they take the address of a desk.

`handle.Handle` has it. See the functions that they call for what they do.
"""

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.compile import compiled
from alphintra.engine.portfolio import happenings, money, outcome, requests, run
from alphintra.engine.portfolio.handle import desk_at


@compiled
def submit(
    address: int,
    number: int,
    side: int,
    kind: int,
    lots: int,
    weight: float,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    lifetime: int,
    post_only: int,
    reduce_only: int,
    expires_ns: int,
    auction_row: int,
    parent: int,
    sibling: int,
    tag: int,
) -> int:
    """See `requests.submit`."""
    return requests.submit(
        desk_at(address), number, side, kind, lots, weight, limit_price_ticks, stop_price_ticks,
        trail_ticks, trail_bps, lifetime, post_only, reduce_only, expires_ns, auction_row, parent,
        sibling, tag,
    )  # fmt: skip


@compiled
def cancel(address: int, order: int) -> int:
    """See `requests.cancel`."""
    return requests.cancel(desk_at(address), order)


@compiled
def modify(
    address: int,
    order: int,
    lots: int,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
    expires_ns: int,
) -> int:
    """See `requests.modify`."""
    return requests.modify(
        desk_at(address), order, lots, limit_price_ticks, stop_price_ticks, trail_ticks, trail_bps,
        expires_ns,
    )  # fmt: skip


@compiled
def next_stop(address: int, limit_row: int) -> int:
    """See `run.next_stop`."""
    return run.next_stop(desk_at(address), limit_row)


@compiled
def advance(address: int, row: int) -> None:
    """See `run.advance`."""
    run.advance(desk_at(address), row)


@compiled
def standing(address: int) -> tuple[float, float, float, float, float]:
    """See `money.standing`; cash in the base comes last."""
    desk = desk_at(address)
    equity, initial, maintenance, gross = money.standing(desk)
    return equity, initial, maintenance, gross, money.cash_of(desk)


@compiled
def end_run(address: int, closes: int) -> None:
    """See `happenings.end_run`."""
    happenings.end_run(desk_at(address), closes)


@compiled
def replay(
    address: int, going: NDArray[np.void], trips: NDArray[np.void], curve: NDArray[np.float64]
) -> tuple[int, int]:
    """See `outcome.replay`."""
    return outcome.replay(desk_at(address), going, trips, curve)
