"""Orders for the opening and the closing auction at the desk: refusals, holds, exits, changes."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from alphintra.core.clock import now
from alphintra.core.ids import OrderId
from alphintra.core.orders import OrderStatus, TimeInForce
from alphintra.trading.commands import Answer, Done, ModifyOrder, PlaceOrder, Refused
from alphintra.trading.surroundings import Sessions
from alphintra.trading.venue import FeeSchedule

from .conftest import INSTRUMENTS
from .core_desk import USER, CoreDesk, terms_of

D = Decimal
#: Seconds from the beginning of a test: two sessions.
FIRST, SECOND = (100, 200), (1_000, 1_100)


class Floor:
    """A desk at which SPY trades in two sessions."""

    def __init__(self) -> None:
        spy = msgspec.structs.replace(INSTRUMENTS["SPY"], calendar="XNYS")
        self.desk = CoreDesk({**INSTRUMENTS, "SPY": spy}, FeeSchedule())
        at = now(self.desk.clock)
        rows = [tuple(at + timedelta(seconds=s) for s in session) for session in (FIRST, SECOND)]
        self.desk.around.sessions = Sessions({"XNYS": rows})  # type: ignore[dict-item]
        self.orders = 0

    def place(self, text: str) -> Answer:
        self.orders += 1
        command = PlaceOrder(
            user_id=USER, actor="test", order_id=OrderId(self.desk.around.ids()),
            terms=terms_of(text, now(self.desk.clock)),
        )  # fmt: skip
        self.last = command.order_id
        return self.desk.do(command)

    def status(self) -> OrderStatus:
        return OrderStatus(self.desk.rows.orders[str(self.last)]["status"])

    def refused(self, text: str) -> str:
        answer = self.place(text)
        assert isinstance(answer, Refused)
        return answer.code

    def go_to(self, second: float) -> None:
        began = self.desk.clock.now_ns() // 10**9 - getattr(self, "_at", 0)
        self._at = int(second)
        self.desk.wait(began + second - self.desk.clock.now_ns() / 10**9)


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_an_opening_order_may_come_while_the_market_is_closed(floor: Floor) -> None:
    floor.desk.quote("SPY", "99.99", "100.00")
    assert floor.refused("buy 1 MARKET") == "risk_market_open"
    assert isinstance(floor.place("buy 10 MARKET tif=OPG"), Done)
    row = floor.desk.rows.orders[str(floor.last)]
    assert row["expires_at"].startswith(
        (now(floor.desk.clock) + timedelta(seconds=100)).isoformat()[:19]
    )
    assert D(row["held_cash"]) == D("1020.00"), "the last price and the buffer of market orders"
    floor.go_to(100)
    floor.desk.quote("SPY", "101.99", "102.00")
    assert floor.status() is OrderStatus.FILLED
    assert D(floor.desk.rows.orders[str(floor.last)]["filled_value"]) == 1_020


def test_old_prices_will_do_for_a_closed_market_but_none_will_not(floor: Floor) -> None:
    assert floor.refused("buy 1 MARKET tif=OPG") == "risk_market_data_fresh"
    assert isinstance(floor.place("buy 1 LIMIT price=100 tif=OPG"), Done)
    floor.desk.quote("SPY", "99.99", "100.00")
    floor.go_to(99)
    assert isinstance(floor.place("buy 1 MARKET tif=OPG"), Done), "the market is closed"
    floor.go_to(190)
    assert floor.refused("buy 1 MARKET tif=CLS") == "risk_market_data_fresh"


def test_given_in_a_session_they_are_for_its_close_and_the_next_open(floor: Floor) -> None:
    floor.go_to(150)
    floor.desk.quote("SPY", "99.99", "100.00")
    floor.place("buy 2 MARKET tif=OPG")
    opening = floor.last
    floor.place("buy 3 MARKET tif=CLS")
    floor.desk.quote("SPY", "100.99", "101.00")
    assert floor.status() is OrderStatus.ACCEPTED
    floor.go_to(211)
    assert floor.status() is OrderStatus.FILLED
    assert D(floor.desk.rows.orders[str(floor.last)]["filled_value"]) == 303
    floor.last = opening
    assert floor.status() is OrderStatus.ACCEPTED
    floor.go_to(1_000)
    floor.desk.quote("SPY", "104.99", "105.00")
    assert floor.status() is OrderStatus.FILLED


def test_what_does_not_fill_expires_and_gives_back_its_hold(floor: Floor) -> None:
    floor.desk.quote("SPY", "99.99", "100.00")
    floor.place("buy 10 LIMIT price=99 tif=OPG")
    assert floor.desk.account.cash_held > 0
    floor.go_to(100)
    floor.desk.quote("SPY", "100.99", "101.00")
    assert floor.status() is OrderStatus.EXPIRED
    assert floor.desk.account.cash_held == 0


def test_exits_of_an_entry_at_the_open_rest(floor: Floor) -> None:
    floor.desk.quote("SPY", "99.99", "100.00")
    floor.place("buy 10 MARKET tif=OPG tp=110 sl=95")
    floor.go_to(100)
    floor.desk.quote("SPY", "99.99", "100.00")
    assert floor.status() is OrderStatus.FILLED
    legs = [one for one in floor.desk.rows.orders.values() if one["parent_id"] == str(floor.last)]
    assert [(leg["time_in_force"], leg["status"]) for leg in legs] == [("GTC", "ACCEPTED")] * 2


def test_reduce_only_at_the_close(floor: Floor) -> None:
    floor.go_to(150)
    floor.desk.quote("SPY", "99.99", "100.00")
    floor.place("buy 10 MARKET")
    assert floor.refused("sell 11 MARKET tif=CLS reduce_only") == "risk_reduce_only"
    assert isinstance(floor.place("sell 10 MARKET tif=CLS reduce_only"), Done)
    floor.go_to(211)
    assert floor.status() is OrderStatus.FILLED
    assert floor.desk.account.position_quantity("SPY") == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("buy 1 STOP stop_price=110 tif=OPG", "time_in_force_not_allowed"),
        ("buy 1 TRAILING_STOP trail=1 tif=CLS", "time_in_force_not_allowed"),
        ("buy 1 LIMIT price=99 tif=OPG post_only", "post_only_not_allowed"),
        ("buy 1 MARKET tif=OPG for=60", "expires_at_not_allowed"),
        ("sell 1 LIMIT price=110 sl=95 class=OCO tif=CLS", "exits_do_not_match_class"),
        ("buy 1 MARKET symbol=QQQ tif=OPG", "no_auction"),
    ],
)
def test_what_cannot_be_for_an_auction(floor: Floor, text: str, code: str) -> None:
    floor.desk.quote("SPY", "99.99", "100.00")
    assert floor.refused(text) == code


def test_a_change_leaves_the_auction_where_it_is(floor: Floor) -> None:
    floor.desk.quote("SPY", "99.99", "100.00")
    floor.place("buy 10 LIMIT price=99 tif=OPG")
    before = floor.desk.rows.orders[str(floor.last)]["expires_at"]
    floor.go_to(50)

    def modify(**changes: object) -> Answer:
        return floor.desk.do(
            ModifyOrder(user_id=USER, actor="test", order_id=floor.last, **changes)  # type: ignore[arg-type]
        )

    refused = modify(time_in_force=TimeInForce.GTC)
    assert isinstance(refused, Refused)
    assert refused.code == "time_in_force_not_allowed"
    assert isinstance(modify(price=D(105)), Done)
    assert floor.desk.rows.orders[str(floor.last)]["expires_at"] == before
    floor.go_to(100)
    floor.desk.quote("SPY", "100.99", "101.00")
    assert floor.status() is OrderStatus.FILLED
