"""The HTTP client of the command line: finds the server, says who calls, repeats what is safe."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from alphintra.cli.credentials import CredentialStore, Login
from alphintra.cli.errors import CommandFailed, Refused, Unreachable

DEFAULT_URL = "http://127.0.0.1:8000"
API = "/api/v1"
TIMEOUT_S = 15.0
#: A large file is checked while the sender waits.
UPLOAD_TIMEOUT_S = 600.0
ATTEMPTS_MAX = 6
PAUSE_MAX_S = 4.0
#: An access token is renewed when less than this is left of it.
RENEW_BEFORE_S = 30.0
PAGE_SIZE = 200


def server_url(given: str | None, store: CredentialStore) -> str:
    """Return the server: the option, else ALPHINTRA_URL, else the last login's, else the local."""
    url = (
        given or os.environ.get("ALPHINTRA_URL") or store.current_server() or DEFAULT_URL
    ).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise CommandFailed(
            f"{url!r} is not the URL of a server", advice=f"It looks like this: {DEFAULT_URL}"
        )
    return url


class Api:
    """One server, seen by one command. Use as a context manager."""

    def __init__(
        self,
        url: str | None = None,
        *,
        store: CredentialStore | None = None,
        transport: httpx.BaseTransport | None = None,
        pause_first_s: float = 0.25,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.store = store or CredentialStore()
        self.url = server_url(url, self.store)
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, transport=transport)
        self._pause_first_s = pause_first_s

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:  # JSON, whatever the route answers
        """Read; `None` values are left out of the query."""
        return self._send("GET", path, query=query, repeat=True)

    def post(
        self,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        repeat: bool = False,
        anonymous: bool = False,
    ) -> Any:  # JSON
        """Send. `repeat` says that the request carries an id which makes a second one harmless."""
        return self._send("POST", path, body=body or {}, repeat=repeat, anonymous=anonymous)

    def put(self, path: str, body: Mapping[str, object]) -> Any:  # JSON
        """Change; a repeat leads to the same state."""
        return self._send("PUT", path, body=body, repeat=True)

    def delete(self, path: str, *, key: str | None = None, **query: object) -> Any:  # JSON
        """Remove or cancel; a repeat changes nothing, with `key` because the server knows it."""
        headers = {"Idempotency-Key": key} if key else {}
        return self._send("DELETE", path, query=query, headers=headers, repeat=True)

    def pages(self, path: str, *, limit: int, **query: object) -> list[Any]:
        """Read a list page by page until `limit` items are there or the list ends."""
        return list(self._pages(path, limit, query))

    def _pages(self, path: str, limit: int, query: Mapping[str, object]) -> Iterator[Any]:
        cursor = None
        left = limit
        while left > 0:
            page = self.get(path, **{**query, "limit": min(left, PAGE_SIZE), "cursor": cursor})
            yield from page["items"][:left]
            left -= len(page["items"])
            cursor = page["next"]
            if cursor is None:
                return

    def upload(self, path: str, file: Path, fields: Mapping[str, str]) -> Any:  # JSON
        """Send a file as a form; the same file sent again leads to the same thing."""
        try:
            with file.open("rb") as opened:
                response = self._http.post(
                    f"{API}{path}",
                    files={"file": (file.name, opened)},
                    data=dict(fields),
                    headers=self._authorization(),
                    timeout=UPLOAD_TIMEOUT_S,
                )
        except httpx.TransportError as error:
            raise self._unreachable(error, repeat=True) from error
        return _answer(response)

    def download(self, path: str, target: Path, **query: object) -> None:
        """Write the bytes of an answer to a file, all of them or nothing."""
        plain = _texts({name: value for name, value in query.items() if value is not None})
        partial = target.with_name(f"{target.name}.partial")
        try:
            with self._http.stream(
                "GET", f"{API}{path}", params=plain, headers=self._authorization()
            ) as response:
                if not response.is_success:
                    response.read()
                    _answer(response)
                with partial.open("wb") as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
            partial.replace(target)
        except httpx.TransportError as error:
            raise self._unreachable(error, repeat=True) from error
        finally:
            partial.unlink(missing_ok=True)

    def credentials(self) -> dict[str, str]:
        """Return the headers that say who calls, with a fresh token where it is one.

        Raises:
            CommandFailed: nobody is logged in.
        """
        return self._authorization()

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        repeat: bool,
        anonymous: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # JSON
        """Send a request, again and again while that is safe and may help.

        Raises:
            Refused: the server's answer is a problem document.
            Unreachable: no answer within the attempts; with `repeat` off the outcome is unknown.
        """
        attempts = ATTEMPTS_MAX if repeat else 1
        query_plain = {name: value for name, value in (query or {}).items() if value is not None}
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                response = self._http.request(
                    method,
                    path if path.startswith("/health") else f"{API}{path}",
                    params=_texts(query_plain),
                    json=body,
                    headers={**(headers or {}), **({} if anonymous else self._authorization())},
                )
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable(error, repeat=repeat) from error
                self._pause(attempt)
                continue
            if response.status_code in {429, 502, 503, 504} and not last:
                self._pause(attempt, response.headers.get("Retry-After"))
                continue
            return _answer(response)
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, attempt: int, retry_after: str | None = None) -> None:
        pause_s = self._pause_first_s * 2 ** (attempt - 1)
        if retry_after and retry_after.isdecimal():
            pause_s = max(pause_s, float(retry_after))
        time.sleep(min(pause_s, PAUSE_MAX_S))

    def _unreachable(self, error: httpx.TransportError, *, repeat: bool) -> Unreachable:
        never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        if never_sent:
            return Unreachable(
                f"no server answers at {self.url}",
                code="server_unreachable",
                advice="Start one with: alphintra up\n"
                "or name another one with --url or ALPHINTRA_URL.",
            )
        return Unreachable(
            f"{self.url} did not answer in time ({type(error).__name__})",
            code="outcome_unknown",
            advice=(
                "Run the same command again."
                if repeat
                else "Whether it was done is not known: look first, then decide."
            ),
        )

    def _authorization(self) -> dict[str, str]:
        if api_key := os.environ.get("ALPHINTRA_API_KEY"):
            return {"X-API-Key": api_key}
        login = self.store.login(self.url)
        if login is None:
            raise CommandFailed(
                f"nobody is logged in at {self.url}",
                code="not_logged_in",
                advice="Log in with: alphintra user login\nor set ALPHINTRA_API_KEY.",
            )
        if login.expires_at_s - time.time() < RENEW_BEFORE_S:
            login = self._renew(login)
        return {"Authorization": f"Bearer {login.access_token}"}

    def _renew(self, seen: Login) -> Login:
        with self.store.locked():
            login = self.store.login(self.url)
            if login is None or login.refresh_token != seen.refresh_token:
                # Another command was faster; what it wrote is fresh. Or somebody logged out.
                return login or seen
            try:
                tokens = self._send(
                    "POST",
                    "/auth/refresh",
                    body={"refresh_token": login.refresh_token},
                    # With it a lost answer is given again instead of counting as a stolen token.
                    headers={"Idempotency-Key": str(uuid4())},
                    repeat=True,
                    anonymous=True,
                )
            except Refused as refusal:
                if refusal.status != 401:
                    raise
                self.store.forget(self.url)
                raise CommandFailed(
                    f"the login of {login.email} has ended: {refusal.detail}",
                    code=refusal.code,
                    advice="Log in again with: alphintra user login",
                ) from refusal
            return self.keep(login.email, tokens)

    def keep(
        self, email: str, tokens: Mapping[str, Any], *, demo_folder: str | None = None
    ) -> Login:
        """Remember the tokens that the server gave for this login."""
        before = self.store.login(self.url)
        if before and before.email != email:
            before = None
        login = Login(
            email=email,
            access_token=tokens["access_token"],
            refresh_token=tokens["refresh_token"],
            expires_at_s=time.time() + float(tokens["expires_in"]),
            device_token=tokens.get("device_token") or (before.device_token if before else None),
            demo_folder=demo_folder or (before.demo_folder if before else None),
        )
        self.store.save(self.url, login)
        return login


def _texts(query: Mapping[str, object]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
    }


def _answer(response: httpx.Response) -> Any:  # JSON
    if response.is_success:
        return response.json() if response.content else None
    try:
        document = response.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    raise Refused(response.status_code, document, response.headers.get("Retry-After"))
