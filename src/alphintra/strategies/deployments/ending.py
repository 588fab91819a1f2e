"""The end of a deployment: its open orders are taken back, its positions closed if that is wanted.

No strategy takes part in this. Whoever takes over from a process that died at it goes on with it.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from alphintra import market, trading
from alphintra.core import money
from alphintra.core.clock import now
from alphintra.core.ids import UserId
from alphintra.core.orders import OPEN
from alphintra.platform.services import Services
from alphintra.strategies.deployments.feed import Feed, Inbox
from alphintra.strategies.deployments.journal import UNHEARD, Journal
from alphintra.strategies.deployments.life import Life
from alphintra.strategies.deployments.models import DeploymentRow
from alphintra.strategies.deployments.signals import (
    CANCEL,
    PLACE,
    PLATFORM,
    NewSignal,
    order_parameters,
    signal_id_of,
    trace_id_of,
)
from alphintra.strategies.deployments.status import Status, Wish
from alphintra.strategies.deployments.step import Line, NewFrame, Step
from alphintra.strategies.live import frames

#: How long orders may take to be taken back, or to close a position, until it is tried again.
PATIENCE_S: Final = 15.0
LOOK_S: Final = 0.5
#: Between two tries to close a position: the market may be closed.
PAUSE_FIRST_S: Final = 2.0
PAUSE_MAX_S: Final = 60.0
#: Orders that one signal takes back.
CANCELS_MAX: Final = 200


@dataclass(slots=True)
class Ending:
    """See the module."""

    services: Services
    journal: Journal
    feed: Feed

    async def run(self, row: DeploymentRow) -> None:
        """End the deployment.

        Raises:
            Superseded: it belongs to another process, or has to be liquidated after all.
            Unavailable: the database is away; begin again.
        """
        length_ns = market.FIXED_NS[row.timeframe]
        life = Life.of(row, length_ns)
        symbols = frozenset(row.symbols)
        inbox = Inbox(row.id, row.user_id, symbols, row.timeframe, length_ns, signals=life.live)
        self.feed.join(inbox)
        try:
            await self._read_past(life)
            await self._take_back(life)
            await self._settle(life, inbox)
            life.row = (await self.journal.standing()).row
            if life.row.wish == Wish.LIQUIDATE:
                await self._close_positions(life, inbox)
            await self._finish(life)
        finally:
            self.feed.leave(inbox)

    async def _read_past(self, life: Life) -> None:
        while page := await self.journal.frames(life.number):
            for one in page:
                life.absorb(frames.from_parent(one.body))
        life.know((await self.journal.standing()).signals)

    async def _take_back(self, life: Life) -> None:
        """Take back what waits for a yes, and what is in the market."""
        closes = life.row.wish == Wish.LIQUIDATE
        step = Step(changes={"status": Status.LIQUIDATING if closes else Status.STOPPING})
        step.withdrawn = list(life.waiting)
        step.signals = await self._cancels(life)
        await self._write(life, step)

    async def _cancels(self, life: Life) -> list[NewSignal]:
        sent = [one for one in life.live if one not in life.waiting]
        # Exits outlive the entry that they belong to, and are taken back one by one.
        legs = await self._open_exits(life, sent)
        placed = [str(one) for one in sent]
        number = await self.journal.platform_signals()
        made = []
        for start in range(0, max(len(placed), len(legs)), CANCELS_MAX):
            name = f"{life.prefix}~cancel-{number}-{start}"
            parameters = {
                "cancel": placed[start : start + CANCELS_MAX],
                "cancel_orders": legs[start : start + CANCELS_MAX],
            }
            made.append(
                NewSignal(
                    id=signal_id_of(life.row.id, CANCEL, name),
                    kind=CANCEL,
                    name=name,
                    origin=PLATFORM,
                    symbol=life.row.symbols[0],
                    action="HOLD",
                    body={},
                    parameters=parameters,
                    frame=life.number,
                    trace_id=trace_id_of(life.row.id, life.number),
                    reason=f"to {life.row.wish.lower()} the deployment",
                )
            )
        return made

    async def _open_exits(self, life: Life, sent: Sequence[UUID]) -> list[str]:
        async with self.services.database.reading() as session:
            orders = await trading.orders_of_signals(session, UserId(life.row.user_id), sent)
        return [
            str(order["id"])
            for order in orders
            if order["parent_id"] is not None and order["status"] in OPEN
        ]

    async def _settle(self, life: Life, inbox: Inbox) -> bool:
        """Wait until no order can change any more; say whether that came to be."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            inbox.has_news = False
            inbox.wake.clear()
            life.know((await self.journal.standing()).signals)
            step = Step()
            for frame in await self.journal.news.read(life, step):
                kind = UNHEARD + type(frame).__name__
                step.frames.append(NewFrame(kind, frames.encode(frame)))
                life.absorb(frame)
            if not step.is_empty:
                await self._write(life, step)
            if not life.live:
                return True
            if time.monotonic() >= until_s:
                names = ", ".join(sorted(life.live.values())[:10])
                await self._write(
                    life, Step(lines=[Line("WARNING", f"not over after {PATIENCE_S:g} s: {names}")])
                )
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await inbox.wake.wait()

    async def _close_positions(self, life: Life, inbox: Inbox) -> None:
        """Close what is held at the market, until nothing is; a closed market is waited for."""
        pause_s = PAUSE_FIRST_S
        while life.book.open_symbols:
            number = await self.journal.platform_signals()
            step = Step()
            step.signals = [self._closing(life, one, number) for one in life.book.open_symbols]
            for signal in step.signals:
                step.lines.append(Line("STATUS", f"closes its position: {_in_words(signal)}"))
                life.live[signal.id] = signal.name
            await self._write(life, step)
            await self._settle(life, inbox)
            if not life.book.open_symbols:
                return
            left = ", ".join(life.book.open_symbols)
            line = Line("WARNING", f"{left} could not be closed; tried again in {pause_s:g} s")
            await self._write(life, Step(lines=[line]))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
            await self._take_back(life)
            await self._settle(life, inbox)

    def _closing(self, life: Life, symbol: str, number: int) -> NewSignal:
        held = life.book.quantity(symbol)
        name = f"{life.prefix}~close-{number}-{symbol}"
        side = "SELL" if held > 0 else "BUY"
        body = {
            "client_order_id": name,
            "type": "MARKET",
            "quantity": money.text(abs(held)),
            "time_in_force": "GTC",
            # The account may hold less than the deployment's book says: its owner trades too.
            "reduce_only": True,
        }
        return NewSignal(
            id=signal_id_of(life.row.id, PLACE, name),
            kind=PLACE,
            name=name,
            origin=PLATFORM,
            symbol=symbol,
            action=side,
            body=body,
            parameters=order_parameters(body),
            frame=life.number,
            trace_id=trace_id_of(life.row.id, life.number),
            reason="to liquidate the deployment",
        )

    async def _finish(self, life: Life) -> None:
        ends_as = Status(life.row.ends_as or Status.STOPPED)
        held = ", ".join(
            f"{money.text(life.book.quantity(one))} {one}" for one in life.book.open_symbols
        )
        left = f"; {held} stay in the account" if held else ""
        reason = life.row.reason or ""
        step = Step(lines=[Line("STATUS", f"it is {ends_as.lower()}: {reason}{left}")])
        step.changes = {
            "status": ends_as,
            "ended_at": now(self.services.clock),
            "owner": None,
            "owner_lock": None,
            "lease_expires_at": None,
            "next_try_at": None,
            **life.figures(),
        }
        # Told to liquidate at the last moment, it is not over: it is taken up once more.
        await self.journal.write(step, life.number, if_wished=Wish(life.row.wish))

    async def _write(self, life: Life, step: Step) -> None:
        life.row = await self.journal.write(step, life.number - len(step.frames))


def _in_words(signal: NewSignal) -> str:
    return f"{signal.action} {signal.body['quantity']} {signal.symbol} at the market"
