"""One client's socket: what it asks for is read, what waits for it is written, and it ends for a
reason.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog
from prometheus_client import Histogram
from starlette.types import Receive, Send

from alphintra.core.errors import Conflict, Forbidden, Problem, TooManyRequests
from alphintra.gateway.hub import messages
from alphintra.gateway.hub.messages import Channel, Ping, Subscribe, Unsubscribe
from alphintra.gateway.hub.outgoing import Outgoing
from alphintra.gateway.hub.subscriptions import (
    MarketSubscription,
    PrivateSubscription,
    State,
    Subscription,
)
from alphintra.platform.security import Principal

SUBSCRIPTIONS_MAX = 50
#: A client may send this many messages at once, and this many a second for long.
MESSAGES_BURST = 100
MESSAGES_PER_S = 20
HEARTBEAT_S = 15.0
CLOSE_TIMEOUT_S = 1.0
#: Messages between two chances for others to run.
TURN_MESSAGES = 64

#: Where a WebSocket scope's extensions hold its connection (`Cuttable`), if the server gives one.
CONNECTION_EXTENSION = "alphintra.connection"

POLICY = 1008
TOO_SLOW = 1013

DELIVERY = Histogram(
    "alphintra_stream_delivery_seconds",
    "From a message off the bus to its bytes on the socket",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1, 10),
)
log = structlog.get_logger(__name__)

AnySubscription = PrivateSubscription | MarketSubscription


class Cuttable(Protocol):
    """A connection that can be ended without waiting for the client."""

    def cut(self, code: int, reason: str) -> None: ...


class Registry(Protocol):
    """What knows all clients' subscriptions."""

    def open(self, request: Subscribe, session: "Session") -> AnySubscription: ...

    def drop(self, subscription: AnySubscription) -> None: ...


class StreamForbidden(Forbidden):
    """The caller may not read this channel. Use credentials with the permission that it names."""

    code = "forbidden"


class TooManySubscriptions(TooManyRequests):
    """The connection has all the subscriptions it may have. End one of them first."""

    code = "too_many_subscriptions"


class NoSubscription(Conflict):
    """There is no such subscription on this connection."""

    code = "no_such_subscription"


class SymbolsMissing(messages.BadMessage):
    """This channel needs `symbols`. Name the instruments that you want to hear of."""

    code = "symbols_missing"


class _Allowance:
    """A bucket of messages that fills up with time."""

    def __init__(self, now_s: float) -> None:
        self._left = float(MESSAGES_BURST)
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        self._left = min(MESSAGES_BURST, self._left + (now_s - self._at_s) * MESSAGES_PER_S)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Session:
    """See the module. Lives as long as `run` does."""

    def __init__(
        self,
        principal: Principal,
        registry: Registry,
        receive: Receive,
        send: Send,
        connection: Cuttable | None,
    ) -> None:
        self.principal = principal
        self.outgoing = Outgoing()
        self._registry = registry
        self._receive = receive
        self._send = send
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._subscriptions: dict[str, AnySubscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowance = _Allowance(self.now_s())
        self._ending = asyncio.Event()
        self._close: tuple[int, str] | None = None
        self._sending_since_s: float | None = None
        self._sent_s = self.now_s()
        self._behind_since_s: float | None = None

    def now_s(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that ends with this session at the latest."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned_done)

    def _spawned_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            # A bug; the client must not be left believing that it is up to date.
            log.error("stream_task_failed", exc_info=fault)
            self.close(1011, "internal_error")

    def abandon(self, subscription: Subscription) -> None:
        """Forget a subscription that was refused."""
        for key, one in list(self._subscriptions.items()):
            if one is subscription:
                del self._subscriptions[key]
                self._registry.drop(one)
                one.end()

    def close(self, code: int, reason: str) -> None:
        """End the session soon; the first reason counts."""
        if self._close is None:
            self._close = (code, reason)
            self._ending.set()

    async def run(self) -> None:
        """Serve the client until it leaves or is closed."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        ending = asyncio.create_task(self._ending.wait())
        own = {reading, writing, ending}
        try:
            await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_stalled = self._sending_since_s is not None
            for subscription in self._subscriptions.values():
                self._registry.drop(subscription)
                subscription.end()
            for task in own | self._tasks:
                task.cancel()
            outcomes = await asyncio.gather(reading, writing, return_exceptions=True)
        await self._say_goodbye(is_stalled=is_stalled)
        for outcome in outcomes:
            # A client that goes away in the middle of a message raises an OSError.
            if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                raise outcome

    async def _say_goodbye(self, *, is_stalled: bool) -> None:
        if self._close is None:
            return
        code, reason = self._close
        log.info("stream_closed", code=code, reason=reason, user_id=str(self.principal.user_id))
        if is_stalled and self._connection is not None:
            self._connection.cut(code, reason)
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            if self._connection is not None:
                self._connection.cut(code, reason)
        except (OSError, RuntimeError):
            pass  # the client closed first

    # Reading

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if not self._allowance.take(self.now_s()):
                self.close(POLICY, "too_many_messages")
                return
            subscription_id: str | None = None
            try:
                operation = messages.read_operation(message.get("text") or "")
                subscription_id = operation.id
                self._handle(operation)
            except Problem as problem:
                self.reply(messages.error(problem, subscription_id))

    def _handle(self, operation: messages.Operation) -> None:
        match operation:
            case Subscribe():
                self._subscribe(operation)
            case Unsubscribe():
                self._unsubscribe(operation)
            case Ping():
                self.reply(messages.control("pong", id=operation.id))

    def _subscribe(self, request: Subscribe) -> None:
        needed = messages.PERMISSIONS[request.channel]
        if needed not in self.principal.permissions:
            raise StreamForbidden(f"this channel needs the permission {needed}")
        if not request.channel.is_private and not request.symbols:
            raise SymbolsMissing(f"the channel {request.channel} needs symbols")
        key = messages.key_of(request)
        if key not in self._subscriptions and len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise TooManySubscriptions(
                f"a connection may have {SUBSCRIPTIONS_MAX} subscriptions", retry_after_s=1
            )
        if (before := self._subscriptions.pop(key, None)) is not None:
            self._registry.drop(before)
            before.end()
        subscription = self._subscriptions[key] = self._registry.open(request, self)
        subscription.start()

    def _unsubscribe(self, request: Unsubscribe) -> None:
        subscription = self._subscriptions.pop(messages.key_of(request), None)
        if subscription is None:
            raise NoSubscription("there is no such subscription")
        self._registry.drop(subscription)
        subscription.end()
        self.reply(messages.control("unsubscribed", channel=request.channel, id=request.id))

    def reply(self, text: str) -> None:
        """Queue a message that belongs to no subscription."""
        if not self.outgoing.push(None, text, 0):
            self.close(POLICY, "too_many_messages")

    # Writing

    async def _write(self) -> None:
        turn = 0
        while True:
            waiting = self.outgoing.pop()
            if waiting is None:
                self._recover()
                await self.outgoing.ready.wait()
                continue
            text, at_s = waiting
            self._sending_since_s = self.now_s()
            await self._send({"type": "websocket.send", "text": text})
            self._sent_s = self.now_s()
            self._sending_since_s = None
            if at_s:
                DELIVERY.observe(self._sent_s - at_s)
            turn += 1
            if turn % TURN_MESSAGES == 0:
                await asyncio.sleep(0)

    def _recover(self) -> None:
        self._behind_since_s = None
        for subscription in list(self._subscriptions.values()):
            subscription.recover()

    # What the hub asks once a second

    def tend(self, slow_reader_s: float) -> None:
        """Send a heartbeat where all is quiet, and part from a client that does not read."""
        now_s = self.now_s()
        if self._is_behind():
            self._behind_since_s = self._behind_since_s or now_s
        stuck = [at_s for at_s in (self._sending_since_s, self._behind_since_s) if at_s is not None]
        if stuck and now_s - min(stuck) > slow_reader_s:
            self.close(TOO_SLOW, "slow_reader")
        elif not stuck and now_s - self._sent_s >= HEARTBEAT_S:
            self.reply(messages.control("heartbeat"))

    def _is_behind(self) -> bool:
        return any(one.state is State.LOST for one in self._subscriptions.values())

    def resync(self, why: str, *, private_only: bool = False) -> None:
        """Take fresh snapshots of everything."""
        for subscription in list(self._subscriptions.values()):
            if subscription.channel.is_private or not private_only:
                subscription.resync(why)


__all__ = ["POLICY", "TOO_SLOW", "AnySubscription", "Channel", "Registry", "Session"]
