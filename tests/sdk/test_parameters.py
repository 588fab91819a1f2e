import pytest

from alphintra.sdk import ParameterRefused, Strategy, StrategyRefused, param, parameters_of
from alphintra.sdk.parameters import Parameter


class Example(Strategy):
    fast = param(10, 2, 200, help="bars")
    weight = param(0.5, 0.0, 1.0)
    side = param("long", choices=("long", "both"))
    trailing = param(False)


class Narrower(Example):
    fast = param(5, 2, 20)


def test_a_strategy_has_its_defaults() -> None:
    strategy = Example()
    assert (strategy.fast, strategy.weight, strategy.side, strategy.trailing) == (
        10,
        0.5,
        "long",
        False,
    )


def test_texts_are_read_as_the_kind_of_the_default() -> None:
    strategy = Example(fast="20", weight="1", trailing="yes")
    assert strategy.fast == 20
    assert strategy.weight == 1.0
    assert isinstance(strategy.weight, float)
    assert strategy.trailing is True


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fast", 500, "fast: 500 is not a whole number from 2 to 200"),
        ("fast", 1, "fast: 1 is not a whole number from 2 to 200"),
        ("fast", 2.5, "fast: 2.5 is not a whole number from 2 to 200"),
        ("fast", "ten", "fast: 'ten' is not a whole number from 2 to 200"),
        ("fast", True, "fast: True is not a whole number from 2 to 200"),
        ("weight", float("nan"), "weight: nan is not a number from 0 to 1"),
        ("side", "short", "side: 'short' is not one of long, both"),
        ("trailing", "perhaps", "trailing: 'perhaps' is not true or false"),
        ("slow", 3, "Example has no parameter slow; it has: fast, weight, side, trailing"),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_range(
    name: str, value: object, words: str
) -> None:
    with pytest.raises(ParameterRefused) as refused:
        Example(**{name: value})
    assert refused.value.detail == words


def test_a_subclass_replaces_a_parameter() -> None:
    declared = parameters_of(Narrower)
    assert list(declared) == ["fast", "weight", "side", "trailing"]
    assert declared["fast"].high == 20


@pytest.mark.parametrize("wrong", [(5, 10, 20), (15, 20, 10)])
def test_a_declaration_that_contradicts_itself_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises((ParameterRefused, StrategyRefused)):
        param(*wrong)


def test_a_parameter_of_another_kind_is_refused() -> None:
    with pytest.raises(StrategyRefused, match="not list"):
        Parameter([1, 2])  # type: ignore[arg-type]


def test_a_notebook_shows_values_and_ranges() -> None:
    shown = Example(fast=20)._repr_html_()
    assert "20 (a whole number from 2 to 200) bars" in shown
    assert "one of long, both" in shown
