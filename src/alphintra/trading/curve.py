"""The equity curve: one point a minute for every account that something could have happened to."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert

from alphintra import assets
from alphintra.core.clock import now
from alphintra.market import MarketService
from alphintra.platform.services import Services
from alphintra.trading.marks import latest_marks
from alphintra.trading.models import AccountRow, EquityPointRow, PositionRow
from alphintra.trading.views import Valuation

#: Accounts per statement.
CHUNK = 1_000


async def record_curve(services: Services, market: MarketService) -> int:
    """Write the points of this minute and return how many; a second writer changes nothing.

    Raises:
        DatabaseUnavailable: the database is away; the minute is left out.
    """
    at = now(services.clock).replace(second=0, microsecond=0)
    written = 0
    after: UUID | None = None
    while True:
        async with services.database.transaction() as session:
            query = (
                select(AccountRow)
                .where(
                    exists().where(PositionRow.account_id == AccountRow.id)
                    | ~exists().where(EquityPointRow.account_id == AccountRow.id)
                )
                .order_by(AccountRow.id)
                .limit(CHUNK)
            )
            if after is not None:
                query = query.where(AccountRow.id > after)
            accounts = list(await session.scalars(query))
            if not accounts:
                return written
            after = accounts[-1].id
            ids = [account.id for account in accounts]
            positions: dict[UUID, list[PositionRow]] = defaultdict(list)
            for row in await session.scalars(
                select(PositionRow).where(
                    PositionRow.account_id.in_(ids), PositionRow.quantity != 0
                )
            ):
                positions[row.account_id].append(row)
            totals = await assets.totals(session, ids)
            symbols = {row.symbol for rows in positions.values() for row in rows}
            marks = await latest_marks(market, symbols)
            points = [
                _point(account, positions[account.id], totals, marks, at) for account in accounts
            ]
            await session.execute(insert(EquityPointRow).values(points).on_conflict_do_nothing())
            written += len(points)


def _point(
    account: AccountRow,
    positions: list[PositionRow],
    totals: dict[tuple[UUID, str], Decimal],
    marks: dict[str, Decimal],
    at: datetime,
) -> dict[str, object]:
    cash = totals.get((account.id, account.currency), Decimal(0))
    equity = cash + Valuation(positions, marks).net
    return {"account_id": account.id, "at": at, "equity": equity, "cash": cash}
