"""What may be searched, and the rules between parameters."""

import numpy as np
import pytest

from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.expressions import Rule
from alphintra.research.search.space import space_of
from alphintra.sdk import ParameterRefused, Vectorised, param, vectorised


@vectorised
def strategy(
    bars: object,
    *,
    fast: int = param(5, 2, 10),
    slow: int = param(20, 10, 200, step=5),
    share: float = param(0.5, 0.0, 1.0),
    side: str = param("long", choices=("long", "both")),
    trend: bool = param(False),
    free: int = param(7),
) -> object:
    """Never run."""
    raise AssertionError(bars, fast, slow, share, side, trend, free)


def test_a_grid_has_both_ends_and_every_combination() -> None:
    space = space_of(strategy, search={"fast": "2:10:4", "side": None, "slow": "20:29:3"})
    grid = list(space.grid())
    assert len(grid) == space.size == 3 * 2 * 4
    assert [p["slow"] for p in grid[:4]] == [20, 23, 26, 29]
    assert {p["fast"] for p in grid} == {2, 6, 10}
    assert all(p["share"] == 0.5 and p["free"] == 7 for p in grid)
    assert all(isinstance(p["fast"], int) for p in grid)


def test_what_declares_a_range_is_searched_by_itself() -> None:
    space = space_of(strategy, fixed={"share": 0.25})
    assert space.searched == ("fast", "slow", "side", "trend")
    assert space.size == 9 * 39 * 2 * 2
    assert dict(space.fixed) == {"share": 0.25, "free": 7}


def test_steps_of_a_tenth_hit_the_end() -> None:
    space = space_of(strategy, search={"share": "0:1:0.1"})
    assert [p["share"] for p in space.grid()] == [round(i / 10, 12) for i in range(11)]


def test_values_can_be_listed() -> None:
    space = space_of(
        strategy, search={"fast": "2,3,9", "slow": range(20, 41, 20), "trend": "yes,no"}
    )
    assert [(p["fast"], p["slow"], p["trend"]) for p in space.grid()][:3] == [
        (2, 20, True),
        (2, 20, False),
        (2, 40, True),
    ]


def test_chance_draws_within_the_space_and_obeys_rules() -> None:
    space = space_of(strategy, search={"fast": None, "share": "0.2:0.4"}, rules=["fast % 2 == 0"])
    generator = np.random.default_rng(3)
    drawn = [space.draw(generator) for _ in range(200)]
    assert {p["fast"] for p in drawn} == {2, 4, 6, 8, 10}
    shares = [float(p["share"]) for p in drawn]
    assert 0.2 <= min(shares) < 0.22
    assert 0.38 < max(shares) <= 0.4


@pytest.mark.parametrize(
    ("search", "fixed", "rules", "says"),
    [
        ({}, {}, [], "nothing to search"),
        ({"fast": "9:2"}, {}, [], "empty range"),
        ({"fast": "2:9:0"}, {}, [], "empty range"),
        ({"fast": "2:9.5"}, {}, [], "whole numbers"),
        ({"fast": "a:b"}, {}, [], "not a range"),
        ({"side": "a:b"}, {}, [], "no range"),
        ({"free": None}, {}, [], "declares no range"),
        ({"fast": []}, {}, [], "no value"),
        ({"fast": "2:5"}, {"fast": 3}, [], "both searched and fixed"),
        ({"fast": "2:5"}, {}, ["fast < sloww"], "sloww"),
        ({"fast": "2:5"}, {}, ["fast <"], "not a rule"),
        ({"fast": "2:5"}, {}, ["__import__('os')"], "not a rule"),
        ({"fast": "2:5"}, {}, ["fast.real > 1"], "not a rule"),
        ({"fast": "2:5"}, {}, ["fast ** 9 > 1"], "not a rule"),
    ],
)
def test_refused(
    search: dict[str, object], fixed: dict[str, object], rules: list[str], says: str
) -> None:
    with pytest.raises(SearchRefused, match=says):
        space_of(strategy, search=search, fixed=fixed, rules=rules)


@pytest.mark.parametrize("search", [{"fast": "1:5"}, {"fast": "5,99"}, {"nothing": "1:2"}])
def test_values_have_to_be_allowed_by_the_strategy(search: dict[str, str]) -> None:
    with pytest.raises(ParameterRefused):
        space_of(strategy, search=search)


def test_a_grid_over_what_has_no_steps_says_how_to_give_one() -> None:
    with pytest.raises(SearchRefused, match="share: 0:1:STEP"):
        list(space_of(strategy, search={"share": None}).grid())


def test_rules_that_allow_nothing_are_told() -> None:
    space = space_of(strategy, search={"fast": None}, rules=["fast > 100"])
    with pytest.raises(SearchRefused, match="none obeyed fast > 100"):
        space.draw(np.random.default_rng(0))


def test_rules() -> None:
    assert Rule("fast * 2 < slow and side == 'long'").holds({"fast": 5, "slow": 11, "side": "long"})
    assert not Rule("2 < x < 4").holds({"x": 4})
    assert Rule("not x > 1 or -x < 0").holds({"x": 3})
    assert not Rule("1 / x > 0").holds({"x": 0})
    assert not Rule("max_drawdown > -0.3").holds({"max_drawdown": None})
    with pytest.raises(SearchRefused, match="not known"):
        Rule("y > 0").holds({"x": 1})
    with pytest.raises(SearchRefused, match="cannot be computed"):
        Rule("x > 'a'").holds({"x": 1})


def test_the_strategy_of_this_module_is_one() -> None:
    assert isinstance(strategy, Vectorised)
