"""The way of one decision through the product: candle, signal, order, fills, ledger lines.

One correlation id, the signal's `trace_id`, is in the events and logs of all of them.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import assets, trading
from alphintra.core import money
from alphintra.core.clock import to_datetime
from alphintra.core.ids import UserId
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.deployments.errors import NoSuchSignal
from alphintra.strategies.deployments.models import FrameRow, SignalRow
from alphintra.strategies.live import frames


@dataclass(frozen=True, slots=True)
class Trace:
    """What a signal came from and what it led to, each oldest first."""

    signal: SignalRow
    candle: dict[str, Any] | None
    orders: list[dict[str, Any]]
    fills: list[dict[str, Any]]
    ledger: list[dict[str, Any]]


async def trace_of(services: Services, caller: Principal, signal_id: UUID) -> Trace:
    """Return the trace of a signal of the caller.

    Raises:
        NoSuchSignal: there is none, or it is somebody else's.
    """
    async with services.database.reading() as session:
        signal = await session.get(SignalRow, signal_id)
        if signal is None or signal.user_id != caller.user_id:
            raise NoSuchSignal("there is no such signal")
        orders = await trading.orders_of_signals(session, UserId(caller.user_id), [signal.id])
        ids = [UUID(str(order["id"])) for order in orders]
        fills = await trading.fills_of_orders(session, UserId(caller.user_id), ids)
        lines: list[assets.Line] = []
        if orders:
            causes = {*ids, *(UUID(str(fill["id"])) for fill in fills)}
            lines = await assets.lines_of(session, UUID(str(orders[0]["account_id"])), causes)
        candle = await _candle(session, signal)
    return Trace(
        signal=signal,
        candle=candle,
        orders=orders,
        fills=fills,
        ledger=[{**msgspec.to_builtins(line), "amount": money.text(line.amount)} for line in lines],
    )


async def _candle(session: AsyncSession, signal: SignalRow) -> dict[str, Any] | None:
    """Return what the strategy was told as it decided, if that was candles."""
    row = await session.get(FrameRow, (signal.deployment_id, signal.frame))
    if row is None or row.kind != frames.Bars.__name__:
        return None
    told = frames.from_parent(row.body)
    assert isinstance(told, frames.Bars)
    bars = [one for one in told.bars if one.symbol == signal.symbol] or list(told.bars)
    return {
        "symbol": bars[-1].symbol,
        "opened_at": to_datetime(bars[-1].open_ns),
        "closed_at": to_datetime(bars[-1].close_ns),
        **{
            name: getattr(bars[-1], name) if name != "volume" else _known(bars[-1].volume)
            for name in ("open", "high", "low", "close", "volume")
        },
    }


def _known(value: float) -> float | None:
    return value if value == value else None
