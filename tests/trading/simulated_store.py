"""A database that fails on request: the desk's committed rows in memory, under the rules of the
real tables.

It takes what the desk seals, row by row as PostgreSQL would get it, and refuses what PostgreSQL
would refuse. `Rows` outlives every incarnation of the desk; `SimulatedStore` is one connection.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from alphintra.assets import Bucket, LedgerAccount, ledger_account
from alphintra.core import money
from alphintra.core.ids import AccountId, OrderId
from alphintra.core.orders import OrderStatus, TradingState, may_follow
from alphintra.trading.commands import Done
from alphintra.trading.errors import StoreFailed
from alphintra.trading.events import RiskFinding
from alphintra.trading.placing import refusal
from alphintra.trading.state import Account, Known, Order, Position
from alphintra.trading.store import ClientIds, Sealed
from alphintra.trading.surroundings import Scope

D = Decimal
Row = dict[str, Any]
#: What the upserts of the store never write again.
ORDER_IDENTITY = (
    "account_id",
    "user_id",
    "client_order_id",
    "terms_hash",
    "symbol",
    "side",
    "created_at",
)


class HistoryRow(msgspec.Struct):
    """A row of `trading.order_history`; `data` stays as it was written, byte for byte."""

    order_id: UUID
    version: int
    event_type: str
    actor: str
    reason: str | None
    data: msgspec.Raw
    at: str


class _OutboxRow(msgspec.Struct):
    event_id: UUID
    topic: str
    key: str
    body: str


class _Envelope(msgspec.Struct):
    sequence: int
    partitionkey: str


class _StatusOf(msgspec.Struct):
    status: OrderStatus
    version: int


_rows = msgspec.json.Decoder(list[Row]).decode
_history = msgspec.json.Decoder(list[HistoryRow]).decode
_outbox = msgspec.json.Decoder(list[_OutboxRow]).decode
_envelope = msgspec.json.Decoder(_Envelope).decode
_status = msgspec.json.Decoder(_StatusOf).decode


class Refused(AssertionError):
    """PostgreSQL would have refused this commit: the desk tried to write what must never be."""


class Rows:
    """Everything that was ever committed, and the constraints on it."""

    def __init__(self) -> None:
        self.accounts: dict[str, Row] = {}
        self.orders: dict[str, Row] = {}
        self.positions: dict[str, Row] = {}
        self.history: dict[UUID, list[HistoryRow]] = defaultdict(list)
        self.trades: dict[str, Row] = {}
        self.balances: dict[UUID, Decimal] = {}
        self.ledger_accounts: dict[UUID, LedgerAccount] = {}
        self.states: dict[tuple[Scope, str], TradingState] = {}
        self.sequences: dict[tuple[str, str], int] = defaultdict(int)
        self.client_ids: dict[tuple[str, str], str] = {}
        self.open_ids: dict[str, set[str]] = defaultdict(set)
        self.new_trades: list[Row] = []
        self._digest = hashlib.blake2b(digest_size=16)

    def digest(self) -> str:
        """Return what two runs share exactly if they committed the same rows in the same order."""
        return self._digest.hexdigest()

    def apply(self, sealed: Sealed) -> None:
        """Take one transaction.

        Raises:
            Refused: the database would not have taken it.
        """
        self._move(sealed)
        writers: dict[str, Callable[[str], None]] = {
            "accounts": self._write_accounts,
            "orders": self._write_orders,
            "history": self._write_history,
            "trades": self._write_trades,
            "positions": self._write_positions,
            "outbox": self._write_outbox,
        }
        for name, body in sealed.rows.items():
            writers[name](body)
            self._digest.update(name.encode() + body.encode())

    def _move(self, sealed: Sealed) -> None:
        for account in sealed.ledger_accounts:
            self.ledger_accounts.setdefault(account.id, account)
            self.balances.setdefault(account.id, money.ZERO)
        for posting in sealed.postings:
            source = self.ledger_accounts[posting.source]
            destination = self.ledger_accounts[posting.destination]
            _require(source.id != destination.id, "a posting within one account")
            _require(source.asset == destination.asset == posting.asset, "a posting of two assets")
            _require(posting.amount > 0, f"a posting of {posting.amount}")
            _require_amount(posting.amount)
            self.balances[source.id] -= posting.amount
            self.balances[destination.id] += posting.amount
            self._digest.update(
                f"{posting.transaction_id}{posting.kind}{source.id}{destination.id}"
                f"{posting.amount}".encode()
            )
        for ledger_id in {posting.source: None for posting in sealed.postings}:
            account, balance = self.ledger_accounts[ledger_id], self.balances[ledger_id]
            _require(
                account.may_be_negative or balance >= 0,
                f"{account.owner_id} {account.asset} {account.bucket} would be {balance}",
            )

    def _write_accounts(self, body: str) -> None:
        for row in _rows(body):
            _require_amounts(row, ("leverage", "day_start_equity"))
            self.accounts[row["id"]] = row

    def _write_orders(self, body: str) -> None:
        for row in _rows(body):
            _require_amounts(row, _ORDER_AMOUNTS)
            before = self.orders.get(row["id"])
            if before is None:
                key = (row["account_id"], row["client_order_id"])
                _require(key not in self.client_ids, f"client_order_id {key} exists")
                self.client_ids[key] = row["id"]
            else:
                changed = [name for name in ORDER_IDENTITY if before[name] != row[name]]
                _require(not changed, f"order {row['id']} changed its {changed}")
            self.orders[row["id"]] = row
            opened = self.open_ids[row["account_id"]]
            (opened.add if OrderStatus(row["status"]).is_open else opened.discard)(row["id"])

    def _write_history(self, body: str) -> None:
        for entry in _history(body):
            steps = self.history[entry.order_id]
            _require(entry.version == len(steps) + 1, f"a gap in the history of {entry.order_id}")
            now = _status(entry.data)
            _require(now.version == entry.version, f"{entry.order_id}: history of another version")
            if steps:
                before = _status(steps[-1].data).status
                _require(
                    may_follow(before, now.status)
                    or (before is now.status and entry.event_type in _SAME_STATUS),
                    f"{entry.order_id}: {before} to {now.status} by {entry.event_type}",
                )
            steps.append(entry)

    def _write_trades(self, body: str) -> None:
        for row in _rows(body):
            _require_amounts(row, ("quantity", "price", "fee", "realized_pnl"))
            _require(row["id"] not in self.trades, f"execution {row['id']} exists")
            self.trades[row["id"]] = row
            self.new_trades.append(row)

    def _write_positions(self, body: str) -> None:
        for row in _rows(body):
            _require_amounts(row, ("quantity", "cost_basis", "realized_pnl", "fees"))
            self.positions[row["id"]] = row

    def _write_outbox(self, body: str) -> None:
        for row in _outbox(body):
            event = _envelope(row.body)
            _require(event.partitionkey == row.key, "an event under another key")
            last = self.sequences[row.key, row.topic]
            _require(
                event.sequence == last + 1, f"{row.topic} of {row.key}: {last}, {event.sequence}"
            )
            self.sequences[row.key, row.topic] = event.sequence

    def account(self, account_id: object) -> Account:
        """Return the account as a desk that has just started would see it."""
        key = str(account_id)
        account = msgspec.convert(self.accounts[key], Account)
        for row in self.positions.values():
            if row["account_id"] == key:
                account.positions[row["symbol"]] = msgspec.convert(row, Position)
        for order_id in sorted(self.open_ids[key]):
            order = msgspec.convert(self.orders[order_id], Order)
            account.open_orders[order.id] = order
        account.cash_available = self.balance(account.id, account.currency, Bucket.AVAILABLE)
        account.cash_held = self.balance(account.id, account.currency, Bucket.HELD)
        return account

    def balance(self, owner_id: UUID, asset: str, bucket: Bucket) -> Decimal:
        """Return a balance of the ledger; zero for an account that was never used."""
        return self.balances.get(ledger_account(owner_id, asset, bucket).id, money.ZERO)

    def known(self, account_id: object, client_order_id: str) -> Known | None:
        """Return the first answer that was given to a client order id."""
        order_id = self.client_ids.get((str(account_id), client_order_id))
        if order_id is None:
            return None
        row = self.orders[order_id]
        data = self.history[UUID(order_id)][0].data
        check = msgspec.json.decode(data)["check"]
        if check is None:
            return Known(OrderId(UUID(order_id)), row["terms_hash"], Done(data))
        finding = msgspec.convert(check, RiskFinding)
        refused = refusal(OrderId(UUID(order_id)), finding)
        return Known(OrderId(UUID(order_id)), row["terms_hash"], refused)


_ORDER_AMOUNTS = tuple(
    name for name, of_type in Order.__annotations__.items() if of_type in (Decimal, Decimal | None)
)
_SAME_STATUS = frozenset({"MODIFIED", "TRIGGERED"})


def _require(fact: bool, otherwise: str) -> None:
    if not fact:
        raise Refused(otherwise)


def _require_amounts(row: Row, names: Iterable[str]) -> None:
    for name in names:
        if row[name] is not None:
            _require_amount(D(row[name]))


def _require_amount(value: Decimal) -> None:
    """NUMERIC(20,8) would round the rest away, and memory would differ from the rows."""
    exponent = value.normalize().as_tuple().exponent
    fits = isinstance(exponent, int) and exponent >= -money.PLACES and abs(value) < money.LIMIT
    _require(fits, f"{value} does not fit NUMERIC(20,8)")


class Fault(Enum):
    """How a statement goes."""

    NONE = "goes through"
    BEFORE_COMMIT = "fails, and nothing was written"
    AFTER_COMMIT = "was written, but the answer is lost"


class SimulatedStore:
    """The store of one incarnation of the desk; `plan` says how each commit and read goes.

    `plan` returns the fault and for how many turns of the event loop it takes before and after the
    write, so that whatever arrives in the meantime waits, and a crash can come between.
    """

    def __init__(self, rows: Rows, plan: Callable[[str], tuple[Fault, int, int]]) -> None:
        self._rows = rows
        self._plan = plan

    async def commit(self, sealed: Sealed) -> None:
        fault, turns_before, turns_after = self._plan("commit")
        await turns(turns_before)
        if fault is Fault.BEFORE_COMMIT:
            raise StoreFailed("simulated: the connection broke before the commit")
        self._rows.apply(sealed)
        await turns(turns_after)
        if fault is Fault.AFTER_COMMIT:
            raise StoreFailed("simulated: the connection broke after the commit")

    async def load(self, account_ids: Sequence[AccountId]) -> list[Account]:
        await self._read()
        return [self._rows.account(one) for one in account_ids if str(one) in self._rows.accounts]

    async def load_open(self) -> list[Account]:
        await self._read()
        return [self._rows.account(key) for key, opened in self._rows.open_ids.items() if opened]

    async def known(self, client_ids: ClientIds) -> dict[tuple[AccountId, str], Known]:
        await self._read()
        found = {(one, text): self._rows.known(one, text) for one, text in client_ids}
        return {key: known for key, known in found.items() if known is not None}

    async def states(self) -> dict[tuple[Scope, str], TradingState]:
        await self._read()
        return dict(self._rows.states)

    async def _read(self) -> None:
        fault, turns_before, _ = self._plan("read")
        await turns(turns_before)
        if fault is not Fault.NONE:
            raise StoreFailed("simulated: the connection broke while reading")


async def turns(count: int) -> None:
    """Let everything else run for so many turns of the event loop; no time passes."""
    for _ in range(count):
        await asyncio.sleep(0)
