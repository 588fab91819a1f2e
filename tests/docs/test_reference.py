"""What exists is documented: settings, variables, errors, events, commands, risk rules, roles."""

import inspect
import re
from types import ModuleType

import pytest

from alphintra.cli.roles import ROLES
from alphintra.core.errors import Problem
from alphintra.core.orders import OrderClass, OrderStatus, OrderType, TimeInForce, TradingState
from alphintra.platform.settings import Settings
from tests.docs.conftest import ROOT

ADVICE = "run: ./dev run python docs/generate.py"
#: What a supervisor tells its children; nobody sets these by hand.
INTERNAL_VARIABLES = {"ALPHINTRA_GATE_FD", "ALPHINTRA_READY_FD"}


@pytest.mark.parametrize(
    "name", ["settings.md", "errors.md", "events.md", "cli.md", "indicators.md"]
)
def test_the_reference_is_what_the_code_says(name: str, generate: ModuleType) -> None:

    written = (ROOT / "docs" / "reference" / name).read_text()
    assert written == generate.PAGES[name](), f"docs/reference/{name} is out of date; {ADVICE}"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_says_what_it_is(name: str) -> None:
    assert Settings.model_fields[name].description, f"settings.{name} has no description"


def test_every_environment_variable_is_documented(generate: ModuleType) -> None:
    documented = set(re.findall(r"`(ALPHINTRA_[A-Z_]+)`", generate.settings_page()))
    used = {
        name
        for folder in ("src", "tests", "examples", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bALPHINTRA_[A-Z_]*[A-Z]\b", file.read_text())
    }
    assert used - documented - INTERNAL_VARIABLES == set()


def test_every_error_says_what_to_do_and_has_a_code_of_its_own(generate: ModuleType) -> None:
    for kind in generate.problems():
        assert kind.__doc__, f"{kind.__name__} has no docstring"
        assert inspect.cleandoc(kind.__doc__) != inspect.cleandoc(Problem.__doc__ or "")
        assert re.fullmatch(r"[a-z0-9_]+", kind.code), kind
        assert 400 <= kind.status < 600, kind
    owners: dict[str, type[Problem]] = {}
    for kind in generate.problems():
        owner = owners.setdefault(kind.code, kind)
        assert issubclass(kind, owner) or issubclass(owner, kind), (
            f"{kind.__name__} and {owner.__name__} share the code {kind.code}"
        )


def test_every_event_type_has_a_schema(generate: ModuleType) -> None:
    assert generate.announced_event_types() == set(generate.event_types())


def test_every_command_and_option_says_what_it_does(generate: ModuleType) -> None:
    for words, command in generate.commands().items():
        assert command.help, f"`{words}` has no help"
        for parameter in command.params:
            if parameter.name not in {"help", "install_completion", "show_completion"}:
                assert parameter.help, f"`{words}`: {parameter.name} has no help"


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_role_is_explained(role: str) -> None:
    page = (ROOT / "docs" / "concepts" / "architecture.md").read_text()
    assert f"| `{role}` |" in page


def test_every_word_of_the_order_lifecycle_is_explained() -> None:
    page = (ROOT / "docs" / "concepts" / "orders.md").read_text()
    for words in (OrderType, TimeInForce, OrderClass):
        for word in words:
            assert f"| `{word}` |" in page
    for status in OrderStatus:
        assert str(status) in page


def test_every_risk_rule_limit_and_state_is_explained() -> None:
    from alphintra.trading.limits import Limits
    from alphintra.trading.risk import Rule

    page = (ROOT / "docs" / "concepts" / "risk.md").read_text()
    documented = re.findall(r"^\| `([a-z_]+)` \| [a-z]", page, re.MULTILINE)
    assert documented[: len(Rule)] == [str(rule) for rule in Rule], "the rules, in their order"
    for name in (*Limits.__struct_fields__, *TradingState):
        assert f"| `{name}` |" in page
