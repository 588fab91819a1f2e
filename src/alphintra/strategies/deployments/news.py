"""What is new of a deployment's orders, from the database: the bus only says that there is news."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from alphintra import trading
from alphintra.core.ids import UserId
from alphintra.platform.services import Services
from alphintra.strategies.deployments.life import Life
from alphintra.strategies.deployments.step import Step
from alphintra.strategies.live import frames

#: Signals whose orders are looked at in one query.
SIGNALS_AT_ONCE = 500


async def read_news(services: Services, life: Life, step: Step) -> list[frames.FromParent]:
    """Return the frames that tell what has happened to the orders of live signals.

    Raises:
        Unavailable: the database is away.
    """
    asked = [one for one in life.live if one not in life.waiting]
    told: list[frames.FromParent] = []
    for start in range(0, len(asked), SIGNALS_AT_ONCE):
        orders, fills = await _read(services, life, asked[start : start + SIGNALS_AT_ONCE])
        told += life.news(orders, fills, step)
    return told


async def _read(
    services: Services, life: Life, signal_ids: Sequence[UUID]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    user_id = UserId(life.row.user_id)
    async with services.database.reading() as session:
        # An order and its fills have to be of one moment.
        await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        orders = await trading.orders_of_signals(session, user_id, signal_ids)
        changed = [
            UUID(str(order["id"]))
            for order in orders
            if life.versions.get(str(order["id"]), -1) < order["version"]
        ]
        fills = await trading.fills_of_orders(session, user_id, changed)
        rejected = {UUID(str(one["id"])) for one in orders if one["status"] == "REJECTED"}
        told = await trading.rejections_of(session, rejected.intersection(changed))
        for order in orders:
            order["reject_detail"] = told.get(UUID(str(order["id"])))
    return orders, fills
