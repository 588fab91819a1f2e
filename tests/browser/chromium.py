"""A Chromium without a window, driven by its DevTools protocol over a WebSocket."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Self

from websockets.sync.client import ClientConnection, connect

_START_S: Final = 60.0
_ANSWER_S: Final = 30.0

#: No window, no network of its own; a sandbox needs privileges that a container has not.
_ARGUMENTS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-port=0", "about:blank",
)  # fmt: skip


@dataclass(slots=True)
class Tab:
    """An open page: what it shows, what it complained about, and a keyboard for it."""

    _connection: ClientConnection
    _number: int = 0
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _loaded: bool = False

    def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self._loaded = False
        self.call("Page.navigate", url=url)
        deadline = monotonic() + _ANSWER_S
        while not self._loaded and monotonic() < deadline:
            self.call("Runtime.evaluate", expression="0")
        assert self._loaded, f"{url} did not load"

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer; events on the way are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=_ANSWER_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page, after what it waits for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"
        )

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        modifiers = 8 if shift else 0
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers)
        self.settle()

    def screenshot(self) -> bytes:
        """Return the page as it looks, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.complaints.append(str(parameters["entry"]["text"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(str(parameters["request"]["url"]))


@dataclass(frozen=True, slots=True)
class Chromium:
    """A running browser."""

    port: int

    @classmethod
    @contextmanager
    def started(cls, executable: Path, profile: Path) -> Iterator[Self]:
        """Run a browser with an empty profile until the context ends."""
        process = subprocess.Popen(
            [executable, *_ARGUMENTS, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield cls(_port_of(profile, process))
        finally:
            process.terminate()
            process.wait(_ANSWER_S)

    @contextmanager
    def tab(self, *, width: int = 1280, height: int = 900) -> Iterator[Tab]:
        """Open a tab of this size."""
        with _connection(self._browser_url()) as connection:
            target = Tab(connection).call("Target.createTarget", url="about:blank")["targetId"]
        address = f"ws://127.0.0.1:{self.port}/devtools/page/{target}"
        with _connection(address) as connection:
            tab = Tab(connection)
            tab.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            yield tab
            tab.call("Page.close")

    def _browser_url(self) -> str:
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json/version") as answer:
            return str(json.load(answer)["webSocketDebuggerUrl"])


def _connection(url: str) -> ClientConnection:
    return connect(url, max_size=64_000_000, proxy=None)


def _port_of(profile: Path, process: "subprocess.Popen[bytes]") -> int:
    """Return the port that the browser has written down once it listens."""
    written = profile / "DevToolsActivePort"
    deadline = monotonic() + _START_S
    while monotonic() < deadline:
        assert process.poll() is None, f"the browser ended with {process.returncode}"
        if written.exists() and (lines := written.read_text().splitlines()):
            return int(lines[0])
        sleep(0.05)
    raise AssertionError("the browser did not start")
