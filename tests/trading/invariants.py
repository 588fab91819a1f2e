"""What must be true of the desk's memory and of the committed rows after every step."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID

import msgspec

from alphintra.assets import Bucket
from alphintra.core import money
from alphintra.core.ids import AccountId
from alphintra.core.orders import OrderClass, OrderStatus, Side, TradingState
from alphintra.platform.events import Topic
from alphintra.trading import risk
from alphintra.trading.paper import PaperVenue
from alphintra.trading.state import ZERO, Account, Order, Position
from alphintra.trading.surroundings import PLATFORM, Scope, Surroundings, strategy_subject

from .simulated_store import Row, Rows

D = Decimal
SEQUENCES = {
    "order_sequence": Topic.ORDER_EVENTS,
    "trade_sequence": Topic.TRADE_EXECUTIONS,
    "position_sequence": Topic.POSITION_EVENTS,
}


class Broken(AssertionError):
    """An invariant does not hold."""


def require(fact: bool, otherwise: str) -> None:
    if not fact:
        raise Broken(otherwise)


def require_equal(what: str, left: object, right: object) -> None:
    if left != right:
        raise Broken(f"{what}: {left!r} is not {right!r}")


class Invariants:
    """Checks the whole state; keeps only what it needs to replay the executions."""

    def __init__(self, rows: Rows, *, start_cash: Decimal, may_short: Iterable[UUID]) -> None:
        self._rows = rows
        self._start_cash = start_cash
        self._may_short = frozenset(may_short)
        self._quantities: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
        self._traded: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO, ZERO])

    def check(self, accounts: Iterable[Account], venue: PaperVenue, around: Surroundings) -> None:
        """Check everything.

        Raises:
            Broken: the first invariant that does not hold.
        """
        self._check_executions()
        self._check_ledger()
        at_venue = 0
        for account in accounts:
            self._check_memory(account)
            self._check_sums(account)
            self._check_holds(account)
            self._check_worth(account, around)
            self._check_kill_switches(account, around)
            for order in account.open_orders.values():
                self._check_order(account, order)
                if order.status is not OrderStatus.PENDING:
                    require(venue.is_open(order.id), f"{order.id} is open and not in the market")
                    at_venue += 1
        require_equal("orders in the market", venue.open_orders, at_venue)
        in_rows = sum(len(opened) for opened in self._rows.open_ids.values())
        require_equal("open orders", sum(len(one.open_orders) for one in accounts), in_rows)

    def _check_executions(self) -> None:
        """Replay what was executed: positions, orders, and that reduce-only only reduces."""
        for trade in self._rows.new_trades:
            order = self._rows.orders[trade["order_id"]]
            quantity, price = D(trade["quantity"]), D(trade["price"])
            require(quantity > 0, f"execution {trade['id']} of {quantity}")
            key = (trade["account_id"], trade["symbol"])
            before = self._quantities[key]
            after = before + quantity * Side(trade["side"]).sign
            self._quantities[key] = after
            if order["reduce_only"]:
                require(
                    abs(after) < abs(before) and before * after >= 0,
                    f"reduce-only order {order['id']} turned {before} into {after}",
                )
            _check_limit_price(order, price)
            of_order = self._traded[order["id"]]
            of_order[0] += quantity
            of_order[1] += money.multiply(quantity, price)
            of_order[2] += D(trade["fee"])
        for order_id in {trade["order_id"]: None for trade in self._rows.new_trades}:
            self._check_executed(self._rows.orders[order_id])
        self._rows.new_trades.clear()

    def _check_executed(self, row: Row) -> None:
        found = [D(row[name]) for name in ("filled_quantity", "filled_value", "fees")]
        require_equal(f"executions of {row['id']}", self._traded[row["id"]], found)
        require(D(row["filled_quantity"]) <= D(row["quantity"]), f"{row['id']} is overfilled")
        sibling = self._rows.orders.get(row["sibling_id"] or "")
        if sibling is None or row["parent_id"] is None:
            return
        entry = self._rows.orders[row["parent_id"]]
        if OrderClass(row["order_class"]) is OrderClass.OCO:
            whole = self._first_quantity(entry)
        else:
            whole = D(entry["filled_quantity"])
        both = D(row["filled_quantity"]) + D(sibling["filled_quantity"])
        require(both <= whole, f"the exits {row['id']} and its sibling filled {both} of {whole}")

    def _first_quantity(self, row: Row) -> Decimal:
        first = self._rows.history[UUID(row["id"])][0]
        return D(msgspec.json.decode(first.data)["quantity"])

    def _check_ledger(self) -> None:
        by_asset: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for ledger_id, balance in self._rows.balances.items():
            by_asset[self._rows.ledger_accounts[ledger_id].asset] += balance
        for asset, total in by_asset.items():
            require_equal(f"sum of all {asset}", total, ZERO)
        for position in self._rows.positions.values():
            owner_id, symbol = UUID(position["account_id"]), position["symbol"]
            base = symbol.removesuffix("-USD")
            held = self._rows.balance(owner_id, base, Bucket.HELD)
            in_ledger = held + self._rows.balance(owner_id, base, Bucket.AVAILABLE)
            require_equal(f"ledger and position in {symbol}", in_ledger, D(position["quantity"]))
            key = (position["account_id"], symbol)
            require_equal(f"executions and position in {symbol}", self._quantities[key], in_ledger)
            if UUID(position["user_id"]) not in self._may_short:
                require(in_ledger >= 0, f"short {in_ledger} {symbol} without permission")

    def _check_memory(self, account: Account) -> None:
        committed = self._rows.account(account.id)
        for name in _SCALARS:
            require_equal(
                f"{name} in memory and in the row", getattr(account, name), getattr(committed, name)
            )
        require_equal("open orders", set(account.open_orders), set(committed.open_orders))
        for order_id, order in account.open_orders.items():
            _require_same("order", order, committed.open_orders[order_id])
        require_equal("positions", set(account.positions), set(committed.positions))
        for symbol, position in account.positions.items():
            _require_same("position", position, committed.positions[symbol])
        for name, topic in SEQUENCES.items():
            published = self._rows.sequences[str(account.id), topic]
            require_equal(f"events on {topic}", published, getattr(account, name))

    def _check_sums(self, account: Account) -> None:
        """What risk asks for is what walking the orders would give."""
        pending: dict[tuple[str, Side], Decimal] = defaultdict(lambda: ZERO)
        reserved: dict[tuple[str, Side], Decimal] = defaultdict(lambda: ZERO)
        for order in account.open_orders.values():
            key = (order.symbol, order.side)
            reserved[key] += order.held_quantity
            if not order.reduce_only:
                pending[key] += order.remaining - order.held_quantity
        for name, right, kept in (
            ("pending", pending, account.pending),
            ("reserved", reserved, account.reserved),
        ):
            for key in {**right, **kept}:
                require_equal(f"{name} of {key}", kept.get(key, ZERO), right[key])

    def _check_holds(self, account: Account) -> None:
        held_cash = sum((one.held_cash for one in account.open_orders.values()), ZERO)
        require_equal("held cash and its orders", account.cash_held, held_cash)
        by_base: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for order in account.open_orders.values():
            if order.side is Side.SELL:
                by_base[order.symbol.removesuffix("-USD")] += order.held_quantity
        for symbol in {*account.positions, *by_base}:
            base = symbol.removesuffix("-USD")
            held = self._rows.balance(account.id, base, Bucket.HELD)
            require_equal(f"held {base} and its orders", held, by_base[base])

    def _check_worth(self, account: Account, around: Surroundings) -> None:
        realized = sum((one.realized_pnl for one in account.positions.values()), ZERO)
        cost = sum((one.cost_basis for one in account.positions.values()), ZERO)
        require_equal("cash", account.cash, self._start_cash + realized - cost)
        worth = ZERO
        for position in account.positions.values():
            mark = around.prices.mark(position.symbol, position.quantity)
            worth += position.cost_basis if mark is None else position.quantity * mark
            require(position.quantity != 0 or position.cost_basis == 0, "a cost of nothing")
        unrealized = worth - cost
        require_equal(
            "equity",
            risk.equity(account, around),
            money.to_amount(self._start_cash + realized + unrealized),
        )

    def _check_kill_switches(self, account: Account, around: Surroundings) -> None:
        if not account.open_orders:
            return
        require(account.state is not TradingState.HALTED, "a halted account has open orders")
        platform = around.state_of(Scope.PLATFORM, PLATFORM)
        require(platform is not TradingState.HALTED, "open orders on a halted platform")
        for order in account.open_orders.values():
            subject = strategy_subject(account.user_id, order.strategy_id)
            state = around.state_of(Scope.STRATEGY, subject)
            require(state is not TradingState.HALTED, "a halted strategy has an open order")

    def _check_order(self, account: Account, order: Order) -> None:
        require(order.status.is_open, f"{order.id} is {order.status} among the open orders")
        require(order.filled_quantity < order.quantity, f"{order.id} is full and open")
        require(order.held_cash >= 0, f"{order.id} holds {order.held_cash}")
        require(order.held_quantity >= 0, f"{order.id} holds {order.held_quantity}")
        require(order.held_quantity <= order.remaining, f"{order.id} holds more than remains")
        if order.status is OrderStatus.PENDING:
            require(order.parent_id in account.open_orders, f"{order.id} waits for nothing")


_SCALARS = tuple(
    name
    for name in Account.__struct_fields__
    if name
    not in {
        "positions",
        "open_orders",
        "known",
        "pending",
        "reserved",
        "_counted",
        "recent_orders_ns",
        "recent_terms_ns",
    }
)


def _require_same(what: str, left: Order | Position, right: Order | Position) -> None:
    if left == right:
        return
    differences = [
        f"{name}: {getattr(left, name)} in memory, {getattr(right, name)} in the row"
        for name in left.__struct_fields__
        if getattr(left, name) != getattr(right, name)
    ]
    raise Broken(f"{what} {left.id}: {'; '.join(differences)}")


def _check_limit_price(order: Row, price: Decimal) -> None:
    """A limit is kept; only one that was changed after this fill may stand elsewhere by now."""
    if order["price"] is None or order["version"] > _NEVER_MODIFIED:
        return
    beyond = (price - D(order["price"])) * Side(order["side"]).sign
    require(beyond <= 0, f"{order['id']} with the limit {order['price']} filled at {price}")


#: Created and filled at once.
_NEVER_MODIFIED = 2


def check_acceptance(
    account: Account, order: Order, around: Surroundings, opened_before: int
) -> None:
    """Check that a new order left its account within its limits, with sums of our own.

    Raises:
        Broken: it should have been refused.
    """
    limits = account.limits
    opening = order.remaining - order.held_quantity
    require(account.state is not TradingState.HALTED, "accepted in a halted account")
    require(order.quantity <= limits.order_quantity_max, f"accepted {order.quantity} units")
    if limits.allowed_symbols is not None:
        require(order.symbol in limits.allowed_symbols, f"accepted {order.symbol}")
    require(
        len(account.open_orders) <= max(limits.open_orders_max, opened_before),
        f"accepted the {len(account.open_orders)}th open order of {limits.open_orders_max}",
    )
    if opening <= 0:
        return
    require(not order.reduce_only, "a reduce-only order was accepted that opens")
    require(account.state is TradingState.ACTIVE, f"accepted to open while {account.state}")
    if order.side is Side.SELL:
        require(account.short_selling, f"accepted to sell {opening} more than is held")
    _check_power(account, around)
    gross = _gross_exposure_if_all_fill(account, around)
    require(
        gross <= limits.gross_exposure_max,
        f"accepted up to a gross exposure of {gross}, {limits.gross_exposure_max} is allowed",
    )


def _check_power(account: Account, around: Surroundings) -> None:
    gross = equity = account.cash - account.cash
    equity += account.cash
    shorts = False
    for position in account.positions.values():
        if position.quantity:
            mark = around.prices.mark(position.symbol, position.quantity)
            value = position.cost_basis if mark is None else position.quantity * mark
            equity += value
            gross += abs(value)
            shorts = shorts or position.quantity < 0
    power = account.leverage * (equity - account.cash_held) - gross
    if account.leverage == 1 and not shorts:
        power = account.cash_available
    require(power >= -_ROUNDING, f"accepted with a buying power of {power} left")


_ROUNDING = D("0.0000001")


def _gross_exposure_if_all_fill(account: Account, around: Surroundings) -> Decimal:
    """Return the positions and, per symbol, the dearer side of what open orders may add."""
    by_symbol: dict[str, dict[Side, Decimal]] = defaultdict(lambda: dict.fromkeys(Side, ZERO))
    for order in account.open_orders.values():
        if not order.reduce_only:
            opening = order.remaining - order.held_quantity
            price = around.prices.reference(order.symbol, order.side) or ZERO
            price = min(price, order.price or price)
            by_symbol[order.symbol][order.side] += opening * price
    total = ZERO
    for position in account.positions.values():
        mark = around.prices.mark(position.symbol, position.quantity)
        total += abs(position.cost_basis if mark is None else position.quantity * mark)
    return total + sum((max(sides.values()) for sides in by_symbol.values()), ZERO)


def account_ids(accounts: Iterable[Account]) -> list[AccountId]:
    """Return the ids, in order."""
    return [account.id for account in accounts]
