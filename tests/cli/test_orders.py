from collections.abc import Callable

import httpx
import pytest
from typer.testing import CliRunner

from alphintra.cli.app import app
from alphintra.cli.errors import CommandFailed, Unreachable
from alphintra.cli.orders import exits, order_type, summary
from tests.cli.conftest import ScriptedServer

ORDER = {
    "id": "0197",
    "symbol": "SPY",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": "10",
    "price": "450.10",
    "stop_price": None,
    "time_in_force": "DAY",
    "status": "PARTIALLY_FILLED",
    "filled_quantity": "4",
    "average_fill_price": "450.05",
    "reject_reason": None,
    "created_at": "2026-01-02T15:00:00Z",
}


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ({}, "MARKET"),
        ({"limit": "1"}, "LIMIT"),
        ({"stop": "1"}, "STOP"),
        ({"limit": "1", "stop": "1"}, "STOP_LIMIT"),
        ({"trail": "1"}, "TRAILING_STOP"),
    ],
)
def test_the_prices_say_the_type(prices: dict[str, str], expected: str) -> None:
    assert order_type(**{"limit": None, "stop": None, "trail": None, **prices}) == expected


def test_a_trailing_stop_has_no_other_price() -> None:
    with pytest.raises(CommandFailed):
        order_type(limit="1", stop=None, trail="1")


def test_two_exits_are_a_bracket_and_one_is_an_oto() -> None:
    assert exits(take_profit="9", stop_loss="5") == {
        "take_profit": {"price": "9"},
        "stop_loss": {"stop_price": "5"},
        "order_class": "BRACKET",
    }
    assert exits(take_profit=None, stop_loss="5")["order_class"] == "OTO"
    assert exits(take_profit=None, stop_loss=None) == {}


def test_the_summary_says_what_it_is_and_how_it_stands() -> None:
    assert summary(ORDER) == (
        "BUY 10 SPY LIMIT limit 450.10 DAY: PARTIALLY_FILLED, filled 4 at 450.05\n  id 0197"
    )


def test_place_sends_what_was_asked_for_and_nothing_else(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    server.answers = [httpx.Response(201, json=ORDER)]
    command = ["order", "place", "spy", "buy", "10", "--limit", "450.10", "--tif", "gtc"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "PARTIALLY_FILLED" in result.output
    (body,) = server.bodies()
    assert str(body.pop("client_order_id")).startswith("cli-")
    assert body == {
        "symbol": "SPY",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "10",
        "price": "450.10",
        "time_in_force": "GTC",
    }


def test_place_repeats_with_the_same_id_and_names_it_when_it_gives_up(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    server.answers = [httpx.ReadTimeout("no answer")]
    result = CliRunner().invoke(app, ["order", "place", "SPY", "sell", "1"])
    assert isinstance(result.exception, Unreachable)
    ids = {body["client_order_id"] for body in server.bodies()}
    assert len(server.requests) > 1
    assert len(ids) == 1
    assert str(ids.pop()) in result.exception.text()


def test_cancel_all_asks_first(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    refused = CliRunner().invoke(app, ["order", "cancel-all"])
    assert isinstance(refused.exception, CommandFailed)
    assert server.requests == []
    server.answers = [httpx.Response(200, json={"canceled": ["1", "2"]})]
    done = CliRunner().invoke(app, ["order", "cancel-all", "--yes", "--symbol", "spy"])
    assert done.exit_code == 0
    assert "2 cancelled" in done.output
    (request,) = server.requests
    assert (request.method, request.url.params["symbol"]) == ("DELETE", "SPY")


def test_closing_a_position_is_repeated_with_the_same_key(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    server.answers = [httpx.ReadTimeout("no answer")]
    result = CliRunner().invoke(app, ["positions", "close", "SPY", "--yes"])
    assert isinstance(result.exception, Unreachable)
    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    assert len(server.requests) > 1
    assert len(keys) == 1
    assert keys.pop() in result.exception.text()


def test_list_prints_a_table_and_json(
    commands_use: Callable[[ScriptedServer], None], server: ScriptedServer
) -> None:
    commands_use(server)
    server.answers = [httpx.Response(200, json={"items": [ORDER], "next": None})]
    table = CliRunner().invoke(app, ["order", "list", "--status", "filled"])
    assert "SPY" in table.output
    assert server.requests[0].url.params["status"] == "FILLED"
    assert '"symbol": "SPY"' in CliRunner().invoke(app, ["order", "list", "--json"]).output
