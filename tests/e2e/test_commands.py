"""Commands against a running platform, as a person and as an operator use them."""

import json
import math
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.conftest import Up

PASSWORD = "a quiet harbour in October"
PATIENCE_S = 120.0
ALTERNATE = """
from alphintra.sdk import Strategy


class Alternate(Strategy):
    def on_bar(self, bar):
        if self.position().quantity:
            self.close()
        elif not self.open_orders():
            self.buy(0.1)
"""


@pytest.fixture
def anna(up: Up, tmp_path: Path) -> Up:
    """The platform as somebody sees it who has just registered and logged in."""
    own = Up(data_dir=up.data_dir, config_dir=tmp_path / "config", occupant=up.occupant)
    email = f"{uuid4().hex}@example.org"
    own.cli("user", "create", email, "--password-stdin", stdin=PASSWORD)
    own.cli("user", "login", email, "--password-stdin", stdin=PASSWORD)
    return own


def read(up: Up, *arguments: str) -> Any:
    return up.cli_json(*arguments)


def test_a_login_is_kept_used_and_ended(anna: Up) -> None:
    profile = read(anna, "user", "whoami")
    assert profile["roles"] == ["TRADER"]
    credentials = anna.config_dir / "alphintra" / "credentials.json"
    assert credentials.stat().st_mode & 0o777 == 0o600
    anna.cli("user", "logout")
    assert "not_logged_in" in anna.cli("user", "whoami", code=1)


def test_a_wrong_password_is_refused_in_words(up: Up) -> None:
    said = up.cli("user", "login", "nobody@example.org", "--password-stdin", stdin="wrong", code=1)
    assert "[invalid_credentials]" in said


def test_an_order_is_placed_shown_changed_and_cancelled(anna: Up) -> None:
    placed = read(anna, "order", "place", "MSFT", "buy", "2", "--limit", "450", "--tif", "gtc")
    assert placed["status"] == "ACCEPTED"
    changed = read(anna, "order", "modify", placed["id"], "--limit", "451", "--quantity", "3")
    assert (changed["price"], changed["quantity"]) == ("451", "3")
    shown = anna.cli("order", "show", placed["id"])
    assert "CREATED" in shown
    assert "MODIFIED" in shown
    assert [order["id"] for order in read(anna, "order", "list", "--status", "open")] == [
        placed["id"]
    ]
    cancelled = read(anna, "order", "cancel", placed["id"])
    assert cancelled["status"] == "CANCELED"
    assert "[order_not_open]" in anna.cli("order", "cancel", placed["id"], code=1)


def test_the_same_client_order_id_places_one_order(anna: Up) -> None:
    command = ("order", "place", "MSFT", "buy", "1", "--limit", "450", "--client-order-id", "one")
    assert read(anna, *command)["id"] == read(anna, *command)["id"]
    assert len(read(anna, "order", "list")) == 1


def test_a_refused_order_says_rule_limit_and_value(anna: Up) -> None:
    said = anna.cli("order", "place", "MSFT", "buy", "10000", code=1)
    assert "[risk_" in said
    assert "limit" in said


def test_a_position_is_opened_and_closed(anna: Up) -> None:
    assert "FILLED" in anna.cli("order", "place", "BTC-USD", "buy", "0.5")
    (held,) = read(anna, "positions")
    assert (held["symbol"], held["quantity"]) == ("BTC-USD", "0.5")
    assert "confirmation_needed" in anna.cli("positions", "close", "BTC-USD", code=1)
    anna.cli("positions", "close", "BTC-USD", "--yes")
    portfolio = read(anna, "portfolio")
    assert portfolio["currency"] == "USD"
    assert "USD" in anna.cli("portfolio")
    assert isinstance(read(anna, "portfolio", "history"), list)


def test_the_operator_makes_an_administrator_who_administers(up: Up, tmp_path: Path) -> None:
    admin = Up(data_dir=up.data_dir, config_dir=tmp_path / "config", occupant=up.occupant)
    email, other = (f"{uuid4().hex}@example.org" for _ in range(2))
    folder = ("--data", str(up.data_dir), "--password-stdin")
    admin.cli("user", "create", email, "--role", "ADMIN", *folder, stdin=PASSWORD)
    admin.cli("user", "create", other, "--role", "trader", *folder, stdin=PASSWORD)
    admin.cli("user", "login", email, "--password-stdin", stdin=PASSWORD)
    assert [user["email"] for user in read(admin, "user", "list", "--email", other)] == [other]
    assert admin.cli("user", "roles", other, "--role", "support").strip() == "SUPPORT"
    admin.cli("user", "disable", other, "--reason", "a test", "--yes")
    login = ("user", "login", other, "--password-stdin")
    assert "[account_disabled]" in admin.cli(*login, stdin=PASSWORD, code=1)
    admin.cli("user", "enable", other, "--reason", "it is over")
    admin.cli(*login, stdin=PASSWORD)
    assert "[forbidden]" in admin.cli("user", "disable", email, "--reason", "x", "--yes", code=1)


def test_a_key_is_made_listed_and_revoked(up: Up, anna: Up) -> None:
    # A fresh login is no proof enough: whoever stole it could make a key that outlives it.
    create = ("key", "create", "robot", "--scope", "market:read", "--password-stdin")
    key = anna.cli(*create, stdin=PASSWORD).strip()
    (listed,) = read(anna, "key", "list")
    assert listed["scopes"] == ["market:read"]
    assert key.startswith("alp_")
    anna.cli("key", "revoke", listed["id"], "--yes")
    assert read(anna, "key", "list") == []


def test_market_data_can_be_looked_at(anna: Up) -> None:
    symbols = {one["symbol"] for one in read(anna, "market", "instruments")}
    assert {"AAPL", "BTC-USD", "SPY"} <= symbols
    assert read(anna, "market", "quote", "AAPL")["symbol"] == "AAPL"
    candles = read(anna, "market", "candles", "GOOG", "-t", "1d", "--start", "2012-01-03T00:00:00Z")
    assert candles[0]["starts_at"].startswith("2012-01-03")
    assert {one["state"] for one in read(anna, "market", "sources")} <= {"LIVE", "STOPPED", "STALE"}


def test_an_instrument_is_added_and_a_file_imported_once(up: Up, anna: Up, tmp_path: Path) -> None:
    folder = ("--data", str(up.data_dir))
    symbol = f"T{uuid4().hex[:8].upper()}"
    anna.cli("market", "add", symbol, "--name", "A test", "--calendar", "ALWAYS", *folder)
    file = tmp_path / "days.csv"
    file.write_text(
        "date,open,high,low,close,volume\n"
        "2024-01-02,10,11,9,10.5,100\n"
        "2024-01-03,10.5,9,12,11,100\n"
    )
    imported = ("market", "import", str(file), "--symbol", symbol, "-t", "1d", *folder)
    first = read(anna, *imported)
    assert (first["rows"], first["accepted"], first["stored"]) == (2, 1, 1)
    assert sum(first["quarantined"].values()) == 1
    assert read(anna, *imported)["stored"] == 0
    (candle,) = read(anna, "market", "candles", symbol, "-t", "1d")
    assert candle["close"] == "10.5"


def test_the_doctor_finds_a_running_platform_well(up: Up, anna: Up) -> None:
    findings = json.loads(anna.cli("doctor", "--data", str(up.data_dir), "--json"))
    states = {finding["name"]: finding["state"] for finding in findings}
    for name in ("database", "tables", "bus", "server", "clock", "port"):
        assert states[name] == "ok", findings


def test_migrating_again_changes_nothing(up: Up) -> None:
    up.cli("migrate", "--data", str(up.data_dir))


def test_the_openapi_document_needs_no_server(up: Up) -> None:
    document = json.loads(up.cli("openapi"))
    assert "/api/v1/orders" in document["paths"]


def test_the_demo_login_is_for_the_owner_only(up: Up) -> None:
    file = up.data_dir / "demo.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_uid == os.geteuid()
    assert len(up.demo().password) >= 20


def test_a_strategy_is_backtested_on_the_server(anna: Up, tmp_path: Path) -> None:
    file = tmp_path / "days.csv"
    days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(300)]
    closes = [100 + 10 * math.sin(number / 9) for number in range(300)]
    rows = [
        f"{day:%Y-%m-%d},{close:.2f},{close + 1:.2f},{close - 1:.2f},{close:.2f},1000"
        for day, close in zip(days, closes, strict=True)
    ]
    file.write_text("\n".join(["date,open,high,low,close,volume", *rows]))
    dataset = read(anna, "dataset", "upload", str(file), "--symbol", "WAVE", "--timeframe", "1d")
    made = read(anna, "strategy", "new", "--template", "trend_following")
    command = ("strategy", "backtest", made["id"], "--dataset", dataset["id"])
    assert "parameter_refused" in anna.cli(*command, "--param", "fast", code=1)
    assert "parameter_refused" in anna.cli(*command, "--param", "fastest=3", code=1)
    run = read(anna, *command, "--param", "fast=3", "--param", "slow=12", "--cash", "50000")
    give_up_s = time.monotonic() + PATIENCE_S
    while (found := read(anna, "backtests", "show", run["id"]))["status"] in {"QUEUED", "RUNNING"}:
        assert time.monotonic() < give_up_s, found
        time.sleep(0.2)
    assert found["status"] == "SUCCEEDED", found["error"]
    assert found["manifest"]["parameters"]["fast"] == 3
    assert found["total_trades"] > 0
    assert float(found["initial_capital"]) == 50_000
    assert "total trades" in anna.cli("backtests", "show", run["id"])
    assert run["id"] in anna.cli("backtests", "list", "--status", "succeeded")


def test_signals_of_a_strategy_wait_for_a_yes_said_here(anna: Up, tmp_path: Path) -> None:
    file = tmp_path / "alternate.py"
    file.write_text(ALTERNATE)
    made = read(anna, "strategy", "new", str(file))
    started = read(
        anna, "deployment", "start", made["id"], "--symbol", "ETH-USD", "-t", "1s",
        "--capital", "9000", "--approval", "all", "--orders-per-minute", "1000",
        "--drawdown", "0.5", "--warmup", "0", "--name", "Asks first",
    )  # fmt: skip
    deployment = started["id"]
    assert (started["name"], started["approval"]["mode"]) == ("Asks first", "ALL")

    def signals(status: str) -> Any:
        return read(anna, "deployment", "signals", deployment, "--status", status)

    def first(status: str) -> Any:
        give_up_s = time.monotonic() + PATIENCE_S
        while not (found := signals(status)):
            assert time.monotonic() < give_up_s, anna.cli("deployment", "logs", deployment)
            time.sleep(0.2)
        return found[-1]

    waiting = first("WAITING")
    assert waiting["action"] == "BUY"
    assert "BUY ETH-USD: PUBLISHED" in anna.cli("deployment", "approve", waiting["id"])
    assert first("ORDERED")["id"] == waiting["id"]
    assert "[signal_decided]" in anna.cli("deployment", "reject", waiting["id"], code=1)
    trace = json.loads(anna.cli("deployment", "trace", waiting["id"], "--json"))
    assert trace["signal"]["id"] == waiting["id"]
    (order,) = read(anna, "deployment", "orders", deployment)
    assert order["signal_id"] == waiting["id"]
    declined = first("WAITING")
    assert "DECLINED" in anna.cli("deployment", "reject", declined["id"])
    listed = anna.cli("deployment", "signals", deployment, "--status", "declined")
    assert declined["id"] in listed
    told = anna.cli("deployment", "stop", deployment)
    assert "was told to stop" in told
    give_up_s = time.monotonic() + PATIENCE_S
    while read(anna, "deployment", "show", deployment)["status"] != "STOPPED":
        assert time.monotonic() < give_up_s, anna.cli("deployment", "logs", deployment)
        time.sleep(0.2)
    refused = anna.cli("deployment", "pause", deployment, code=1)
    assert "[deployment_status_refused]" in refused


def test_a_strategy_is_put_to_work_watched_and_stopped(anna: Up) -> None:
    made = read(anna, "strategy", "new", "--template", "trend_following")
    started = read(
        anna, "deployment", "start", made["id"], "--symbol", "BTC-USD", "-t", "1s",
        "--capital", "5000", "--param", "fast=3", "--daily-loss", "500",
    )  # fmt: skip
    deployment = started["id"]
    assert started["parameters"]["fast"] == 3
    assert started["limits"]["daily_loss"] == "500"

    def status() -> str:
        return str(read(anna, "deployment", "show", deployment)["status"])

    def becomes(wanted: str) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while (now := status()) != wanted:
            assert time.monotonic() < give_up_s, (now, anna.cli("deployment", "logs", deployment))
            time.sleep(0.2)

    becomes("RUNNING")
    assert deployment in anna.cli("deployment", "list", "--status", "running")
    assert "parameter_refused" in anna.cli("deployment", "set", deployment, "fast", code=1)
    assert "[" in anna.cli("deployment", "set", deployment, "fast=1000", code=1)
    assert read(anna, "deployment", "set", deployment, "fast=4")["parameters"]["fast"] == 4
    anna.cli("deployment", "pause", deployment)
    becomes("PAUSED")
    anna.cli("deployment", "resume", deployment)
    becomes("RUNNING")
    assert "fast=4" in anna.cli("deployment", "show", deployment)
    assert "warmed up" in anna.cli("deployment", "logs", deployment)
    for what in ("signals", "orders", "certificates"):
        assert isinstance(read(anna, "deployment", what, deployment), list)
    assert "confirmation_needed" in anna.cli("deployment", "liquidate", deployment, code=1)
    anna.cli("deployment", "liquidate", deployment, "--yes")
    becomes("STOPPED")
    certified = read(anna, "deployment", "certify", deployment, f"{datetime.now(UTC):%Y-%m-%d}")
    assert certified["verdict"] in {"PENDING", "EMPTY", "PASSED"}
    assert "no_such_signal" in anna.cli("deployment", "approve", str(uuid4()), code=1)
