"""A book whose levels lie in an array, one place for each price that occurs. All compiled."""

from alphintra.engine.compile import compiled
from alphintra.engine.depth.layout import Ladder, What


@compiled
def set_level(ladder: Ladder, side: int, rank: int, lots: int) -> None:
    """Let a level hold so many lots, and keep the best bid and ask."""
    ladder.levels[side, rank]["lots"] = lots
    best = ladder.best
    if side == What.BID:
        if lots > 0:
            if rank > best[0]:
                best[0] = rank
        elif rank == best[0]:
            best[0] = next_rank(ladder, side, rank)
    elif lots > 0:
        if rank < best[1]:
            best[1] = rank
    elif rank == best[1]:
        best[1] = next_rank(ladder, side, rank)


@compiled
def next_rank(ladder: Ladder, side: int, rank: int) -> int:
    """Return the rank of the next level behind this one that holds something.

    It is -1 behind the last bid and the number of ranks behind the last ask.
    """
    levels = ladder.levels
    if side == What.BID:
        rank -= 1
        while rank >= 0 and levels[0, rank]["lots"] == 0:
            rank -= 1
        return rank
    rank += 1
    while rank < levels.shape[1] and levels[1, rank]["lots"] == 0:
        rank += 1
    return rank


@compiled
def is_rank(ladder: Ladder, rank: int) -> bool:
    """Say whether there is a level: a side that is empty has its best rank outside the ladder."""
    return 0 <= rank < len(ladder.prices)


@compiled
def is_crossed(ladder: Ladder) -> bool:
    """Say whether the best bid is not below the best ask."""
    return bool(ladder.best[0] >= ladder.best[1])


@compiled
def left_of(ladder: Ladder, side: int, rank: int) -> int:
    """Return what a level still has for us: without what was traded since, and what we took."""
    level = ladder.levels[side, rank]
    return max(0, int(level["lots"]) - int(level["traded"]) - int(level["taken"]))


@compiled
def rank_at(ladder: Ladder, price_ticks: int) -> int:
    """Return the first rank whose price is not below this one; the number of ranks if none is."""
    low, high = 0, len(ladder.prices)
    while low < high:
        middle = (low + high) // 2
        if ladder.prices[middle] < price_ticks:
            low = middle + 1
        else:
            high = middle
    return low
