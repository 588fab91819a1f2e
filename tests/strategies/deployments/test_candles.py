"""Closed candles in order: groups, gaps, repeats."""

from alphintra.strategies.deployments.candles import GROUP_WAIT_S, Candles, histories
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CANDLES_MAX, CandleRow

MINUTE = 60_000_000_000


def candle(symbol: str, minute: int) -> CandleRow:
    return CandleRow(symbol, minute * MINUTE, (minute + 1) * MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0)


def heard(candles: Candles, *rows: CandleRow, now_s: float = 0.0) -> list[bool]:
    return [candles.add(row, now_s=now_s, is_heard=True) for row in rows]


def test_one_symbol_does_not_wait() -> None:
    candles = Candles(["A"], MINUTE)
    assert heard(candles, candle("A", 1), candle("A", 1)) == [True, False]
    group = candles.take(0.0)
    assert group is not None
    assert group.close_ns == 2 * MINUTE
    assert heard(candles, candle("A", 1), candle("A", 0)) == [False, False]
    assert candles.take(0.0) is None


def test_a_group_waits_for_its_symbols_but_not_for_ever() -> None:
    candles = Candles(["A", "B"], MINUTE)
    heard(candles, candle("A", 1))
    assert candles.take(0.1) is None
    assert candles.due_in_s(0.1) == GROUP_WAIT_S - 0.1
    heard(candles, candle("B", 1))
    group = candles.take(0.2)
    assert group is not None
    assert set(group.bars) == {"A", "B"}
    heard(candles, candle("A", 2), now_s=5.0)
    assert candles.take(5.0 + GROUP_WAIT_S) is not None


def test_who_has_spoken_of_a_later_time_is_not_waited_for() -> None:
    candles = Candles(["A", "B"], MINUTE)
    heard(candles, candle("A", 1), candle("B", 2))
    first = candles.take(0.0)
    assert first is not None
    assert set(first.bars) == {"A"}
    assert candles.take(0.0) is None  # of the second minute A has not spoken


def test_a_gap_is_seen_and_filled_in_order() -> None:
    candles = Candles(["A"], MINUTE, told_ns={"A": 2 * MINUTE})
    seen = [candles.is_contiguous]
    heard(candles, candle("A", 4))
    seen.append(candles.is_contiguous)
    for minute in (2, 3):
        assert candles.add(candle("A", minute), now_s=0.0, is_heard=False)
    seen.append(candles.is_contiguous)
    assert seen == [True, False, True]
    groups = [candles.take(0.0) for _ in range(3)]
    assert [group and group.is_heard for group in groups] == [False, False, True]
    assert not candles.has_waiting


def test_the_past_is_cut_where_candles_closed_together() -> None:
    rows = [candle(symbol, minute) for minute in range(15_000) for symbol in ("A", "B")]
    told = histories(rows)
    assert [one.last for one in told] == [False] * 14 + [True]
    assert all(sum(map(len, one.candles)) <= CANDLES_MAX for one in told)
    assert sum(sum(map(len, one.candles)) for one in told) == 30_000
    assert all(len(one.candles[0]) == len(one.candles[1]) for one in told)
    assert histories([]) == [frames.History(candles=(), last=True)]
