"""What people and markets may do to the desk, drawn from a seed."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND, ManualClock, now
from alphintra.core.ids import OrderId, StrategyId, UserId
from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.core.market_data import Bar, FeedBatch, Quote, Tick, Trade
from alphintra.core.orders import OrderClass, OrderType, Side, TimeInForce, TradingState
from alphintra.trading.commands import (
    AnyCommand,
    CancelAll,
    CancelOrder,
    ClosePosition,
    ModifyOrder,
    OpenAccount,
    PlaceOrder,
    SetAccountState,
    SetLimits,
    SetMargin,
    StopLoss,
    TakeProfit,
    Terms,
)
from alphintra.trading.limits import Limits
from alphintra.trading.state import Account
from alphintra.trading.surroundings import Sessions

D = Decimal


def _instrument(
    symbol: str, base: str, tick: str, lot: str, calendar: str = "ALWAYS"
) -> Instrument:
    return Instrument(
        symbol=Symbol(symbol),
        name=symbol,
        asset_class=AssetClass.EQUITY,
        base=Asset(base),
        quote=Asset("USD"),
        tick_size=D(tick),
        lot_size=D(lot),
        calendar=calendar,
    )


#: The coin's lot times its tick has ten places, so that values have to be rounded; BARS only ever
#: shows bars; DAY has a session that closes.
INSTRUMENTS: dict[str, Instrument] = {
    one.symbol: one
    for one in (
        _instrument("SPY", "SPY", "0.01", "1"),
        _instrument("COIN-USD", "COIN", "0.01", "0.00000001"),
        _instrument("BARS", "BARS", "0.05", "10"),
        _instrument("DAY", "DAY", "0.0001", "0.01", "XNYS"),
    )
}
FIRST_PRICES = {"SPY": D(450), "COIN-USD": D("30000"), "BARS": D(80), "DAY": D("1.25")}
STRATEGIES = tuple(StrategyId(UUID(int=number)) for number in (1, 2))


def sessions(clock: ManualClock) -> Sessions:
    """Two weeks of sessions of 100 seconds with breaks of 20: a simulation seldom lasts for hours,
    and shall see auctions.
    """
    first = datetime.combine(now(clock).date() - timedelta(days=4), time(0), UTC)
    rows = [
        (opens_at, opens_at + timedelta(seconds=100))
        for day in range(14)
        for number in range(24 * 30)
        for opens_at in [first + timedelta(days=day, minutes=2 * number)]
    ]
    return Sessions({"XNYS": rows})


class Market:
    """Prices that wander, jump, thin out and dry up."""

    def __init__(self, rng: random.Random, clock: ManualClock) -> None:
        self._rng = rng
        self._clock = clock
        self._sequence = 0
        self._bar_ns = clock.now_ns() // (60 * NS_PER_SECOND) * 60 * NS_PER_SECOND
        self.prices = dict(FIRST_PRICES)

    def batch(self) -> FeedBatch:
        """Return what the feed says next, about one symbol."""
        symbol = self._rng.choice(list(INSTRUMENTS))
        instrument = INSTRUMENTS[Symbol(symbol)]
        ticks = tuple(self._tick(instrument) for _ in range(self._rng.randint(1, 3)))
        self._sequence += 1
        return FeedBatch(symbol=symbol, source="simulation", sequence=self._sequence, ticks=ticks)

    def _tick(self, instrument: Instrument) -> Tick:
        price = self._next_price(instrument)
        if instrument.symbol == "BARS":
            return self._bar(instrument, price)
        spread = instrument.tick_size * self._rng.randint(1, 4)
        if self._rng.random() < 0.25:
            return Trade(self._clock.now_ns(), price, self._size(instrument) or D(1))
        return Quote(
            self._clock.now_ns(),
            price,
            price + spread,
            self._size(instrument),
            self._size(instrument),
        )

    def _bar(self, instrument: Instrument, opening: Decimal) -> Bar:
        rng, tick = self._rng, instrument.tick_size
        closing = max(tick, opening + tick * rng.randint(-30, 30))
        self.prices[instrument.symbol] = closing
        self._bar_ns += 60 * NS_PER_SECOND
        return Bar(
            self._bar_ns,
            "1m",
            opening,
            max(opening, closing) + tick * rng.randint(0, 20),
            max(tick, min(opening, closing) - tick * rng.randint(0, 20)),
            closing,
            self._size(instrument),
            closed=rng.random() < 0.8,
        )

    def _next_price(self, instrument: Instrument) -> Decimal:
        rng = self._rng
        width = D("0.15") if rng.random() < 0.03 else D("0.004")
        factor = 1 + width * D(rng.randint(-1000, 1000)) / 1000
        first = FIRST_PRICES[instrument.symbol]
        # Kept within a factor of four, so that a long run does not leave the world of its limits.
        price = min(max(self.prices[instrument.symbol] * factor, first / 4), first * 4)
        price = max(instrument.quantize_price(price), instrument.tick_size)
        self.prices[instrument.symbol] = price
        return price

    def _size(self, instrument: Instrument) -> Decimal | None:
        rng = self._rng
        if rng.random() < 0.4:
            return None
        return instrument.lot_size * rng.choice((0, 1, 3, 10, 100, 10_000, 10**9))


class People:
    """Users with accounts of different kinds, who do sensible and foolish things."""

    def __init__(self, rng: random.Random, clock: ManualClock, market: Market) -> None:
        self._rng = rng
        self._clock = clock
        self._market = market
        self.users = tuple(UserId(UUID(int=rng.getrandbits(128))) for _ in range(4))
        self.margin_users = frozenset(self.users[:2])
        self._count = 0

    def first_commands(self) -> list[AnyCommand]:
        """Open the accounts: the first two may borrow and sell short, the last has tight limits."""
        tight = Limits(
            order_quantity_max=D(300),
            order_notional_max=D(9_000),
            position_notional_max=D(15_000),
            gross_exposure_max=D(20_000),
            daily_loss_max=D(2_000),
            open_orders_max=6,
            orders_per_second_max=5,
            duplicate_window_s=2,
            allowed_symbols=("SPY", "COIN-USD", "DAY"),
        )
        return [
            *(OpenAccount(user_id=one, actor="simulation") for one in self.users),
            *(
                SetMargin(user_id=one, actor="simulation", leverage=D(leverage), short_selling=True)
                for one, leverage in zip(self.users, (1, 4), strict=False)
            ),
            SetLimits(user_id=self.users[3], actor="simulation", limits=tight),
        ]

    def command(self, accounts: Sequence[Account]) -> AnyCommand:
        """Return what somebody does next; `accounts` is what they see on their screens."""
        rng = self._rng
        user_id = rng.choice(self.users)
        seen = next((one for one in accounts if one.user_id == user_id), None)
        open_orders = list(seen.open_orders) if seen else []
        symbol = rng.choice(list(INSTRUMENTS))
        actor = f"user:{user_id}"
        draw = rng.random()
        if draw < 0.66:
            return self._place(user_id, seen)
        if draw < 0.78 and seen is not None and open_orders:
            return self._modify(user_id, seen, rng.choice(open_orders))
        if draw < 0.87:
            order_id = rng.choice(open_orders) if open_orders else self._order_id()
            return CancelOrder(user_id=user_id, actor=actor, order_id=order_id)
        if draw < 0.90:
            return CancelAll(
                user_id=user_id,
                actor=actor,
                symbol=rng.choice((None, symbol)),
                strategy_id=rng.choice((None, *STRATEGIES)),
            )
        if draw < 0.97:
            held = [one for one in seen.positions if seen.positions[one].quantity] if seen else []
            return ClosePosition(
                user_id=user_id,
                actor=actor,
                symbol=rng.choice(held) if held else symbol,
                order_id=self._order_id(),
                client_order_id=self._client_order_id(),
            )
        weights = (8, 1, 1)
        state = rng.choices(list(TradingState), weights)[0]
        return SetAccountState(user_id=user_id, actor=actor, state=state, reason="a simulation")

    def again(self, command: PlaceOrder | ClosePosition) -> AnyCommand:
        """Return the same request as a client would send it again: with an order id of its own."""
        changes = {name: getattr(command, name) for name in command.__struct_fields__}
        return type(command)(**{**changes, "order_id": self._order_id()})

    def _order_id(self) -> OrderId:
        return OrderId(UUID(int=self._rng.getrandbits(128)))

    def _client_order_id(self) -> str:
        self._count += 1
        return f"request-{self._count}"

    def _place(self, user_id: UserId, seen: Account | None) -> PlaceOrder:
        rng = self._rng
        instrument = INSTRUMENTS[rng.choice(list(INSTRUMENTS))]
        price = self._market.prices[instrument.symbol]
        side = rng.choice(list(Side))
        held = seen.position_quantity(instrument.symbol) if seen else D(0)
        if held and rng.random() < 0.4:
            side = Side.SELL if held > 0 else Side.BUY
        terms = self._terms(instrument, side, price, abs(held))
        return PlaceOrder(
            user_id=user_id,
            actor=f"user:{user_id}",
            order_id=self._order_id(),
            client_order_id=None if rng.random() < 0.1 else self._client_order_id(),
            terms=terms,
            dry_run=rng.random() < 0.02,
        )

    def _terms(self, instrument: Instrument, side: Side, price: Decimal, held: Decimal) -> Terms:
        rng = self._rng
        kind = rng.choices(list(OrderType), (6, 6, 2, 2, 2))[0]
        weights = (
            (2, 5, 2, 1, 1, 0.1, 0.1) if instrument.calendar == "ALWAYS" else (2, 4, 1, 1, 1, 5, 5)
        )
        in_force = rng.choices(list(TimeInForce), weights)[0]
        resting = {TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD}
        if in_force not in resting and rng.random() < 0.9:
            kind = rng.choice((OrderType.MARKET, OrderType.LIMIT))
        order_class = rng.choices(list(OrderClass), (12, 3, 2, 1))[0]
        if order_class is OrderClass.OCO and held:
            kind, in_force = OrderType.LIMIT, TimeInForce.GTC
        away = side.sign if rng.random() < 0.3 else -side.sign
        is_notional = kind is OrderType.MARKET and rng.random() < 0.2
        quantity = self._quantity(instrument, price, held)
        trails = kind is OrderType.TRAILING_STOP
        in_percent = rng.random() < 0.5
        exit_side = side if order_class is OrderClass.OCO else side.opposite
        take_profit = TakeProfit(self._near(instrument, price, exit_side.sign * -1))
        loss = self._near(instrument, price, exit_side.sign)
        stop_loss = StopLoss(loss, None if rng.random() < 0.7 else loss)
        return Terms(
            symbol=instrument.symbol,
            side=side,
            type=kind,
            quantity=None if is_notional else quantity,
            notional=D(rng.randint(1, 20_000)) if is_notional else None,
            price=self._near(instrument, price, away) if kind.has_limit else None,
            stop_price=self._near(instrument, price, side.sign) if kind.has_stop else None,
            trail=instrument.tick_size * rng.randint(1, 300) if trails and not in_percent else None,
            trail_percent=D(rng.randint(1, 400)) / 100 if trails and in_percent else None,
            time_in_force=in_force,
            expires_at=self._expires_at() if in_force is TimeInForce.GTD else None,
            reduce_only=rng.random() < (0.5 if held else 0.03),
            post_only=kind is OrderType.LIMIT and rng.random() < 0.15,
            order_class=order_class,
            take_profit=take_profit if self._has(order_class, OrderClass.OTO, 0.3) else None,
            stop_loss=stop_loss if self._has(order_class, OrderClass.OCO, 1.0) else None,
            strategy_id=rng.choice((None, None, *STRATEGIES)),
        )

    def _has(self, order_class: OrderClass, other: OrderClass, chance: float) -> bool:
        """Say whether the order has this exit: a bracket has both; now and then it is wrong."""
        if order_class is OrderClass.BRACKET:
            return self._rng.random() < 0.97
        return order_class is other and self._rng.random() < chance

    def _quantity(self, instrument: Instrument, price: Decimal, held: Decimal) -> Decimal:
        rng = self._rng
        if held and rng.random() < 0.4:
            return (
                held
                if rng.random() < 0.6
                else max(instrument.quantize_quantity(held / 3), instrument.lot_size)
            )
        worth = D(rng.choice((100, 1_000, 5_000, 20_000, 60_000, 400_000)))
        worth *= D(rng.randint(10, 100)) / 100
        lots = money.steps(worth / price, instrument.lot_size, ROUND_DOWN)
        return instrument.lot_size * max(1, lots)

    def _near(self, instrument: Instrument, price: Decimal, direction: int) -> Decimal:
        part = D(self._rng.randint(0, 150)) / 10_000
        near = instrument.quantize_price(price * (1 + direction * part))
        if self._rng.random() < 0.01:
            near += instrument.tick_size / 2
        return max(near, instrument.tick_size)

    def _expires_at(self) -> datetime:
        return now(self._clock) + timedelta(seconds=self._rng.randint(-5, 600))

    def _modify(self, user_id: UserId, seen: Account, order_id: OrderId) -> ModifyOrder:
        rng = self._rng
        order = seen.open_orders[order_id]
        instrument = INSTRUMENTS[Symbol(order.symbol)]
        price = self._market.prices[order.symbol]
        new_price = self._near(instrument, price, rng.choice((-1, 1)))
        quantity = self._quantity(instrument, price, D(0)) if rng.random() < 0.4 else None
        in_force = rng.choice((None, None, None, TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY))
        return ModifyOrder(
            user_id=user_id,
            actor=f"user:{user_id}",
            order_id=order_id,
            quantity=quantity,
            price=new_price if order.price is not None else None,
            stop_price=new_price if order.stop_price is not None else None,
            trail=instrument.tick_size * rng.randint(1, 300) if order.trail is not None else None,
            time_in_force=in_force,
            expires_at=self._expires_at() if in_force is TimeInForce.GTD else None,
        )
