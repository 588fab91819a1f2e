"""What is new of deployments' orders, from the database: the bus only says that there is news.

Fills come to many at the same moment. Those that ask while others are being answered are answered
together.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import trading
from alphintra.core.ids import UserId
from alphintra.platform.services import Services
from alphintra.strategies.deployments.life import Life
from alphintra.strategies.deployments.step import Step
from alphintra.strategies.live import frames

#: Signals whose orders are looked at in one query.
SIGNALS_AT_ONCE: Final = 500
#: Questions that are answered in one transaction.
QUESTIONS_AT_ONCE: Final = 100

_View = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """What has become of some signals of a user; the answer: their orders, and fills."""

    user_id: UserId
    signals: frozenset[UUID]
    #: By order id, the version that is known already.
    versions: Mapping[str, int]
    answer: asyncio.Future[tuple[list[_View], list[_View]]]

    def concerns(self, order: _View) -> bool:
        return order["signal_id"] is not None and UUID(str(order["signal_id"])) in self.signals

    def is_news(self, order: _View) -> bool:
        return bool(self.versions.get(str(order["id"]), -1) < order["version"])


@dataclass(slots=True)
class News:
    """Reads for all deployments of this process."""

    services: Services
    _waiting: list[_Question] = field(default_factory=list)
    _working: asyncio.Task[None] | None = None

    async def read(self, life: Life, step: Step) -> list[frames.FromParent]:
        """Return the frames that tell what has happened to the orders of live signals.

        Raises:
            Unavailable: the database is away.
        """
        asked = [one for one in life.live if one not in life.waiting]
        told: list[frames.FromParent] = []
        for start in range(0, len(asked), SIGNALS_AT_ONCE):
            some = frozenset(asked[start : start + SIGNALS_AT_ONCE])
            orders, fills = await self._ask(UserId(life.row.user_id), some, life.versions)
            told += life.news(orders, fills, step)
        return told

    async def _ask(
        self, user_id: UserId, signals: frozenset[UUID], versions: Mapping[str, int]
    ) -> tuple[list[_View], list[_View]]:
        answer: asyncio.Future[tuple[list[_View], list[_View]]]
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Question(user_id, signals, versions, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            questions = self._waiting[:QUESTIONS_AT_ONCE]
            del self._waiting[:QUESTIONS_AT_ONCE]
            by_user: dict[UserId, list[_Question]] = {}
            for one in questions:
                by_user.setdefault(one.user_id, []).append(one)
            try:
                async with self.services.database.reading() as session:
                    # An order and its fills have to be of one moment.
                    await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                    for user_id, those in by_user.items():
                        await _answer(session, user_id, those)
            except Exception as error:  # whoever asked is told
                for one in questions:
                    if not one.answer.done():
                        one.answer.set_exception(error)


async def _answer(session: AsyncSession, user_id: UserId, asked: Sequence[_Question]) -> None:
    orders = await trading.orders_of_signals(
        session, user_id, frozenset().union(*(one.signals for one in asked))
    )
    changed = {
        UUID(str(order["id"]))
        for order in orders
        if any(one.is_news(order) for one in asked if one.concerns(order))
    }
    fills = await trading.fills_of_orders(session, user_id, changed)
    rejected = {UUID(str(order["id"])) for order in orders if order["status"] == "REJECTED"}
    told = await trading.rejections_of(session, rejected & changed)
    for order in orders:
        order["reject_detail"] = told.get(UUID(str(order["id"])))
    for one in asked:
        mine = [order for order in orders if one.concerns(order)]
        ids = {str(order["id"]) for order in mine}
        if not one.answer.done():  # its asker may be gone
            one.answer.set_result((mine, [fill for fill in fills if str(fill["order_id"]) in ids]))
