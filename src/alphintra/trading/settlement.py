"""What orders and fills do to money: holds, releases, trades and fees as postings of the ledger.

The account's cash in memory moves in the same line as the posting, so that the two cannot part
ways.
"""

from decimal import ROUND_UP, Decimal
from uuid import UUID

from alphintra.assets import Bucket, LedgerAccount, PostingKind, ledger_account
from alphintra.core import money
from alphintra.core.ids import derived_id
from alphintra.core.instruments import Instrument
from alphintra.core.orders import Side
from alphintra.trading.state import ZERO, Account, Order
from alphintra.trading.unit import Unit


def house(shard: int) -> UUID:
    """Return the owner of the other side of a shard's paper trades; one a shard, so that shards
    never wait for each other's rows.
    """
    return derived_id("house", "paper", shard)


def _mine(account: Account, asset: str, bucket: Bucket) -> LedgerAccount:
    return ledger_account(account.id, asset, bucket)


def _theirs(account: Account, asset: str, bucket: Bucket) -> LedgerAccount:
    return ledger_account(house(account.shard), asset, bucket)


def fund(unit: Unit, account: Account, amount: Decimal) -> None:
    """Give a new paper account its first cash."""
    unit.journal.move(
        transaction_id=account.id,
        kind=PostingKind.DEPOSIT,
        source=_theirs(account, account.currency, Bucket.FUNDING),
        destination=_mine(account, account.currency, Bucket.AVAILABLE),
        amount=amount,
        at=unit.at,
    )
    account.cash_available += amount


def required_cash(
    opening: Decimal, *, price: Decimal, leverage: Decimal, fee_rate: Decimal
) -> Decimal:
    """Return what is held for opening that much at `price`: the margin and the dearest fee, rounded
    up.
    """
    notional = opening * price
    return money.to_amount(notional / leverage + notional * fee_rate, ROUND_UP)


def hold(
    unit: Unit,
    account: Account,
    order: Order,
    instrument: Instrument,
    *,
    quantity: Decimal,
    cash: Decimal,
) -> None:
    """Set aside what the order may need, on top of what it holds."""
    _hold_cash(unit, account, order, cash)
    if order.side is Side.SELL:
        _move(unit, account, order.id, PostingKind.HOLD, instrument.base, quantity, to_held=True)
    order.held_quantity += quantity


def release(
    unit: Unit,
    account: Account,
    order: Order,
    instrument: Instrument,
    *,
    quantity: Decimal,
    cash: Decimal,
) -> None:
    """Give back a part of what the order holds."""
    _release_cash(unit, account, order, cash)
    if order.side is Side.SELL:
        _move(
            unit, account, order.id, PostingKind.RELEASE, instrument.base, quantity, to_held=False
        )
    order.held_quantity -= quantity


def release_all(unit: Unit, account: Account, order: Order, instrument: Instrument) -> None:
    """Give back everything that the order still holds."""
    release(unit, account, order, instrument, quantity=order.held_quantity, cash=order.held_cash)


def settle(
    unit: Unit,
    account: Account,
    order: Order,
    instrument: Instrument,
    *,
    trade_id: UUID,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal,
) -> None:
    """Book a fill: first what reduces the position, from its reservation, then what opens, from the
    hold.
    """
    reducing = min(quantity, order.held_quantity)
    opening = quantity - reducing
    opening_left = order.remaining - order.held_quantity
    if opening and opening < opening_left:
        share = money.divide(order.held_cash * opening, opening_left)
    else:
        share = order.held_cash if opening else ZERO
    _release_cash(unit, account, order, share)
    order.held_quantity -= reducing

    value = money.multiply(quantity, price)
    available = _mine(account, account.currency, Bucket.AVAILABLE)
    venue = _theirs(account, account.currency, Bucket.VENUE)
    base_available = _mine(account, instrument.base, Bucket.AVAILABLE)
    base_venue = _theirs(account, instrument.base, Bucket.VENUE)

    def move(kind: PostingKind, source: LedgerAccount, to: LedgerAccount, amount: Decimal) -> None:
        unit.journal.move(
            transaction_id=trade_id,
            kind=kind,
            source=source,
            destination=to,
            amount=amount,
            at=unit.at,
        )

    if order.side is Side.BUY:
        move(PostingKind.TRADE, available, venue, value)
        move(PostingKind.TRADE, base_venue, base_available, quantity)
        account.cash_available -= value
    else:
        move(PostingKind.TRADE, venue, available, value)
        base_held = _mine(account, instrument.base, Bucket.HELD)
        move(PostingKind.TRADE, base_held, base_venue, reducing)
        move(PostingKind.TRADE, base_available, base_venue, opening)
        account.cash_available += value
    fees = _theirs(account, account.currency, Bucket.FEES)
    if fee < 0:  # a rebate
        move(PostingKind.FEE, fees, available, -fee)
    else:
        move(PostingKind.FEE, available, fees, fee)
    account.cash_available -= fee


def _hold_cash(unit: Unit, account: Account, order: Order, amount: Decimal) -> None:
    _move(unit, account, order.id, PostingKind.HOLD, account.currency, amount, to_held=True)
    account.cash_available -= amount
    account.cash_held += amount
    order.held_cash += amount


def _release_cash(unit: Unit, account: Account, order: Order, amount: Decimal) -> None:
    _move(unit, account, order.id, PostingKind.RELEASE, account.currency, amount, to_held=False)
    account.cash_available += amount
    account.cash_held -= amount
    order.held_cash -= amount


def _move(
    unit: Unit,
    account: Account,
    transaction_id: UUID,
    kind: PostingKind,
    asset: str,
    amount: Decimal,
    *,
    to_held: bool,
) -> None:
    available, held = _mine(account, asset, Bucket.AVAILABLE), _mine(account, asset, Bucket.HELD)
    source, destination = (available, held) if to_held else (held, available)
    unit.journal.move(
        transaction_id=transaction_id,
        kind=kind,
        source=source,
        destination=destination,
        amount=amount,
        at=unit.at,
    )
