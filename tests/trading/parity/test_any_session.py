"""Whatever people, markets and crashing desks do: the record replays to what was booked."""

import asyncio
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
import structlog

from alphintra.core.clock import to_ns
from alphintra.core.ids import OrderId, TradeId
from alphintra.trading.desk import VENUE_ACTOR
from alphintra.trading.journal import Entry, Journal, Record
from alphintra.trading.journal_store import pack, unpack
from alphintra.trading.parity import Day, DeskRecord, compare
from alphintra.trading.parity_loading import outcome_of, terms_of_history
from alphintra.trading.parity_report import Amounts, BookedFill, ParityReport
from alphintra.trading.replay import OutcomeKey, Step
from tests.trading.simulation import Simulation

SEEDS = 24
STEPS = 150


class RecordedSimulation(Simulation):
    """The desk under a seeded world, with a record of what its venues were told."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.journals: list[Journal] = []

    def _record(self) -> Record:
        journal = Journal(UUID(int=len(self.journals)), self._clock)
        self.journals.append(journal)
        return journal

    def records(self) -> list[DeskRecord]:
        found: list[DeskRecord] = []
        for journal in self.journals:
            for block in journal.take(everything=True):
                entries: list[Entry] = unpack(pack(block.entries))
                found.append(
                    DeskRecord(symbol=block.symbol, entries=entries, is_whole=True, stored={})
                )
        return found

    def days(self) -> list[Day]:
        """Return what each account did, as one long day."""
        records = self.records()
        return [self._day(account_id, records) for account_id in self._rows.accounts]

    def _day(self, account_id: str, records: list[DeskRecord]) -> Day:
        rows = self._rows
        orders = {
            OrderId(UUID(row["id"])): row
            for row in rows.orders.values()
            if row["account_id"] == account_id
        }
        history = {
            (order_id, step.version): (step, msgspec.json.decode(step.data))
            for order_id in orders
            for step in rows.history[order_id]
        }
        outcomes: dict[OutcomeKey, str] = {}
        for (order_id, _), (step, _data) in history.items():
            if step.actor == VENUE_ACTOR:
                outcomes |= outcome_of(order_id, step.event_type, step.reason)
        return Day(
            account_id=UUID(account_id),
            day=date(2023, 1, 1),
            start_ns=0,
            end_ns=2**62,
            symbols={order_id: row["symbol"] for order_id, row in orders.items()},
            history={
                key: Step(at_ns=to_ns(_at(step.at)), terms=terms_of_history(data))
                for key, (step, data) in history.items()
            },
            fills=[_fill(row) for row in rows.trades.values() if row["account_id"] == account_id],
            outcomes=outcomes,
            elsewhere=frozenset(),
            records=records,
        )


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _fill(row: dict[str, Any]) -> BookedFill:
    return BookedFill(
        id=TradeId(UUID(row["id"])),
        order_id=OrderId(UUID(row["order_id"])),
        symbol=row["symbol"],
        at=_at(row["executed_at"]),
        amounts=msgspec.convert(row, Amounts, strict=False),
    )


def replayed(seed: int) -> tuple[RecordedSimulation, list[ParityReport]]:
    simulation = RecordedSimulation(seed)
    with structlog.testing.capture_logs():
        asyncio.run(simulation.run(STEPS))
    return simulation, [compare(day) for day in simulation.days()]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_seed_replays_to_what_was_booked(seed: int) -> None:
    _, reports = replayed(seed)
    for report in reports:
        wrong = [pair for pair in report.pairs if pair.cause] + list(report.order_differences)
        assert not wrong, f"seed {seed}: {wrong[:3]} {report.notes}"
        assert report.is_identical


def test_sessions_are_worth_replaying() -> None:
    """The seeds have crashes, voids and hundreds of fills, or the test above shows nothing."""
    fills = outcomes = void = crashes = auctions = 0
    for seed in range(4):
        simulation, reports = replayed(seed)
        crashes += simulation.counts.get("crash", 0)
        fills += sum(report.fills for report in reports)
        outcomes += sum(report.outcomes for report in reports)
        void += sum(report.void for report in reports)
        filled = {row["order_id"] for row in simulation._rows.trades.values()}
        orders = simulation._rows.orders.values()
        auctions += sum(
            row["time_in_force"] in {"OPG", "CLS"} and row["id"] in filled for row in orders
        )
    assert fills > 150
    assert outcomes > 50
    assert crashes > 2
    assert void > 0
    assert auctions > 0
