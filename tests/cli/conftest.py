"""A server that answers what a test tells it to, behind the real HTTP client of the commands."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from alphintra.cli.client import Api
from alphintra.cli.credentials import CredentialStore, Login

URL = "http://alphintra.test"
Answer = httpx.Response | httpx.TransportError


class ScriptedServer:
    """Gives its answers one after another and remembers the requests; the last answer repeats."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[Answer] = [httpx.Response(200, json={})]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer

    def bodies(self) -> list[dict[str, object]]:
        return [json.loads(request.content) for request in self.requests]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CredentialStore:
    for name in ("ALPHINTRA_URL", "ALPHINTRA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return CredentialStore()


@pytest.fixture
def logged_in(store: CredentialStore) -> CredentialStore:
    store.save(URL, login())
    return store


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
def api(server: ScriptedServer, logged_in: CredentialStore) -> Iterator[Api]:
    with Api(
        URL, store=logged_in, transport=httpx.MockTransport(server), pause_first_s=0.0
    ) as opened:
        yield opened


@pytest.fixture
def commands_use(
    monkeypatch: pytest.MonkeyPatch, logged_in: CredentialStore
) -> Callable[[ScriptedServer], None]:
    """Make the commands of this test talk to a scripted server."""

    def use(server: ScriptedServer) -> None:
        client = httpx.Client

        def with_transport(**options: object) -> httpx.Client:
            return client(**{**options, "transport": httpx.MockTransport(server)})  # type: ignore[arg-type]

        monkeypatch.setattr("alphintra.cli.client.httpx.Client", with_transport)
        monkeypatch.setattr("alphintra.cli.client.time.sleep", lambda _: None)

    return use


def login(*, expires_at_s: float = 9e9, refresh_token: str = "refresh-1") -> Login:  # noqa: S107
    return Login(
        email="ada@example.org",
        access_token="access-1",
        refresh_token=refresh_token,
        expires_at_s=expires_at_s,
    )


def problem(status: int, code: str, **extra: object) -> httpx.Response:
    return httpx.Response(
        status,
        json={
            "type": f"urn:alphintra:problem:{code}",
            "title": "What to do about it.",
            "status": status,
            "code": code,
            "detail": "what happened",
            "correlation_id": "c-1",
            "retryable": False,
            **extra,
        },
    )
