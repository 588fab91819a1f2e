import json

import httpx
import pytest

from alphintra.cli.client import ATTEMPTS_MAX, DEFAULT_URL, Api, server_url
from alphintra.cli.credentials import CredentialStore
from alphintra.cli.errors import CommandFailed, Refused, Unreachable
from tests.cli.conftest import URL, ScriptedServer, login, problem

LOST = httpx.ReadTimeout("no answer")
TOKENS = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 900}


def test_the_option_wins_over_the_environment_over_the_last_login(
    store: CredentialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server_url(None, store) == DEFAULT_URL
    store.save("http://last.test", login())
    assert server_url(None, store) == "http://last.test"
    monkeypatch.setenv("ALPHINTRA_URL", "http://environment.test/")
    assert server_url(None, store) == "http://environment.test"
    assert server_url("https://option.test", store) == "https://option.test"


@pytest.mark.parametrize("text", ["localhost:8000", "ftp://x", "http://", "nonsense"])
def test_what_is_not_a_url_is_refused(text: str, store: CredentialStore) -> None:
    with pytest.raises(CommandFailed, match="not the URL"):
        server_url(text, store)


def test_a_lost_answer_is_asked_for_again_where_that_is_safe(
    api: Api, server: ScriptedServer
) -> None:
    server.answers = [LOST, problem(503, "unavailable"), httpx.Response(201, json={"id": "1"})]
    assert api.post("/orders", {"client_order_id": "c1"}, repeat=True) == {"id": "1"}
    assert [body["client_order_id"] for body in server.bodies()] == ["c1", "c1", "c1"]


def test_a_lost_answer_is_not_asked_for_again_where_that_could_act_twice(
    api: Api, server: ScriptedServer
) -> None:
    server.answers = [LOST]
    with pytest.raises(Unreachable) as caught:
        api.post("/users")
    assert len(server.requests) == 1
    assert caught.value.code == "outcome_unknown"
    assert caught.value.exit_code == 3


def test_attempts_are_bounded(api: Api, server: ScriptedServer) -> None:
    server.answers = [problem(503, "unavailable")]
    with pytest.raises(Refused) as caught:
        api.get("/orders")
    assert len(server.requests) == ATTEMPTS_MAX
    assert caught.value.exit_code == 3


def test_a_server_that_is_not_there_says_how_to_start_one(api: Api, server: ScriptedServer) -> None:
    server.answers = [httpx.ConnectError("refused")]
    with pytest.raises(Unreachable) as caught:
        api.get("/orders")
    assert "alphintra up" in caught.value.text()


def test_a_problem_is_told_with_its_code_and_what_to_do(api: Api, server: ScriptedServer) -> None:
    server.answers = [problem(409, "position_limit", rule="position_limit", limit="10", value="12")]
    with pytest.raises(Refused) as caught:
        api.post("/orders")
    text = caught.value.text()
    assert caught.value.exit_code == 1
    for part in ("what happened", "[position_limit]", "What to do", "limit: 10", "value: 12"):
        assert part in text


def test_who_is_to_wait_is_told_for_how_long(api: Api, server: ScriptedServer) -> None:
    refusal = problem(429, "too_many_attempts")
    refusal.headers["Retry-After"] = "12"
    server.answers = [refusal]
    with pytest.raises(Refused) as caught:
        api.post("/auth/login")
    for part in ("What to do", "Try again in 12 s."):
        assert part in caught.value.text()


def test_an_answer_that_is_no_problem_document_is_told_too(
    api: Api, server: ScriptedServer
) -> None:
    server.answers = [httpx.Response(404, text="<html>")]
    with pytest.raises(Refused, match="404"):
        api.get("/orders")


def test_an_expired_access_token_is_renewed_and_kept(
    api: Api, server: ScriptedServer, logged_in: CredentialStore
) -> None:
    logged_in.save(URL, login(expires_at_s=0.0))
    server.answers = [httpx.Response(200, json=TOKENS), httpx.Response(200, json={})]
    api.get("/portfolio")
    refresh, read = server.requests
    assert refresh.url.path == "/api/v1/auth/refresh"
    assert json.loads(refresh.content) == {"refresh_token": "refresh-1"}
    assert refresh.headers["Idempotency-Key"]
    assert read.headers["Authorization"] == "Bearer access-2"
    kept = logged_in.login(URL)
    assert kept is not None
    assert kept.refresh_token == "refresh-2"


def test_a_refused_renewal_forgets_the_login(
    api: Api, server: ScriptedServer, logged_in: CredentialStore
) -> None:
    logged_in.save(URL, login(expires_at_s=0.0))
    server.answers = [problem(401, "session_revoked")]
    with pytest.raises(CommandFailed, match="has ended"):
        api.get("/portfolio")
    assert logged_in.login(URL) is None


def test_a_renewal_that_cannot_happen_now_keeps_the_login(
    api: Api, server: ScriptedServer, logged_in: CredentialStore
) -> None:
    logged_in.save(URL, login(expires_at_s=0.0))
    server.answers = [problem(503, "unavailable")]
    with pytest.raises(Refused):
        api.get("/portfolio")
    assert logged_in.login(URL) == login(expires_at_s=0.0)


def test_an_api_key_needs_no_login(
    store: CredentialStore, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHINTRA_API_KEY", "key-1")
    with Api(URL, store=store, transport=httpx.MockTransport(server)) as api:
        api.get("/orders")
    assert server.requests[0].headers["X-API-Key"] == "key-1"
    assert "Authorization" not in server.requests[0].headers


def test_without_credentials_nothing_is_sent(
    store: CredentialStore, server: ScriptedServer
) -> None:
    with (
        Api(URL, store=store, transport=httpx.MockTransport(server)) as api,
        pytest.raises(CommandFailed) as caught,
    ):
        api.get("/orders")
    assert caught.value.code == "not_logged_in"
    assert server.requests == []


def test_pages_are_read_until_enough_is_there(api: Api, server: ScriptedServer) -> None:
    server.answers = [
        httpx.Response(200, json={"items": [1, 2], "next": "more"}),
        httpx.Response(200, json={"items": [3, 4], "next": "and more"}),
    ]
    assert api.pages("/orders", limit=3, status=None, symbol="SPY") == [1, 2, 3]
    assert [request.url.params.get("cursor") for request in server.requests] == [None, "more"]
    assert "status" not in server.requests[0].url.params
