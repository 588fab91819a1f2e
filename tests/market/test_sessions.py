"""Sessions of exchanges, half days included, and what a round-the-clock market counts as a day."""

from datetime import UTC, datetime, timedelta

from alphintra.market import is_open, next_close, sessions_between
from alphintra.market import sessions as filling
from alphintra.platform.services import Services

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def test_sessions_of_new_york_are_filled_once_and_far_enough(services: Services) -> None:
    await filling.refresh(services.database, NOW)
    async with services.database.reading() as session:
        # The day after Thanksgiving ends at 13:00 in New York.
        assert await next_close(session, "XNYS", at("2026-11-27 15:00")) == at("2026-11-27 18:00")
        assert await is_open(session, "XNYS", at("2026-11-27 14:30"))
        assert not await is_open(session, "XNYS", at("2026-11-27 18:00"))
        assert not await is_open(session, "XNYS", at("2026-11-26 16:00"))
        # A DAY order of Saturday lives until Monday's close.
        assert await next_close(session, "XNYS", at("2026-11-28 12:00")) == at("2026-11-30 21:00")
        week = await sessions_between(
            session, "XNYS", at("2026-11-23 00:00"), at("2026-11-30 00:00")
        )
        assert [one.closes_at - one.opens_at for one in week] == [
            timedelta(hours=6.5),
            timedelta(hours=6.5),
            timedelta(hours=6.5),
            timedelta(hours=3.5),
        ]
        horizon = await sessions_between(
            session, "XNYS", NOW + filling.HORIZON_MIN, NOW + filling.HORIZON
        )
        assert horizon
        oldest = await sessions_between(session, "XNYS", at("1998-01-02 00:00"), at("1998-01-03"))
        assert len(oldest) == 1


async def test_an_unknown_calendar_is_never_open(services: Services) -> None:
    await filling.fill(services.database, "NOPE", NOW)
    async with services.database.reading() as session:
        assert not await is_open(session, "NOPE", NOW)
        assert await next_close(session, "NOPE", NOW) is None


async def test_round_the_clock_days_turn_at_midnight_utc(services: Services) -> None:
    async with services.database.reading() as session:
        assert await is_open(session, "ALWAYS", NOW)
        assert await next_close(session, "ALWAYS", NOW) == NOW + timedelta(days=1)
        assert await next_close(session, "ALWAYS", NOW + timedelta(hours=23)) == NOW + timedelta(
            days=1
        )
