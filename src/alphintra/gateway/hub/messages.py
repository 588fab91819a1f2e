"""What travels over the socket. Payloads are encoded once; each reader's copy gets its own head."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from alphintra.core.errors import Problem
from alphintra.core.market_data import Timeframe
from alphintra.platform.events import Topic
from alphintra.platform.security import Permission

ID_LENGTH_MAX = 64
SYMBOLS_MAX = 100
TOKEN_LENGTH_MAX = 8_192


class Channel(StrEnum):
    """What one can subscribe to."""

    ORDERS = "orders"
    FILLS = "fills"
    POSITIONS = "positions"
    QUOTES = "quotes"
    CANDLES = "candles"

    @property
    def is_private(self) -> bool:
        """Whether it carries what belongs to the subscriber alone."""
        return self in TOPICS


TOPICS = {
    Channel.ORDERS: Topic.ORDER_EVENTS,
    Channel.FILLS: Topic.TRADE_EXECUTIONS,
    Channel.POSITIONS: Topic.POSITION_EVENTS,
}
PERMISSIONS = {
    Channel.ORDERS: Permission.ORDERS_READ,
    Channel.FILLS: Permission.ORDERS_READ,
    Channel.POSITIONS: Permission.PORTFOLIO_READ,
    Channel.QUOTES: Permission.MARKET_READ,
    Channel.CANDLES: Permission.MARKET_READ,
}

Id = Annotated[str, msgspec.Meta(max_length=ID_LENGTH_MAX)]
Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9./_:\-]+$")]
Symbols = Annotated[tuple[Symbol, ...], msgspec.Meta(max_length=SYMBOLS_MAX)]


class Authenticate(msgspec.Struct, frozen=True, tag="auth", tag_field="type"):
    """The first message, where the handshake carried no credentials."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]


class Subscribe(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="subscribe", tag_field="op"
):
    """Asks for a snapshot and everything after it."""

    channel: Channel
    symbols: Symbols = ()
    timeframe: Timeframe = "1m"
    id: Id | None = None


class Unsubscribe(msgspec.Struct, frozen=True, tag="unsubscribe", tag_field="op"):
    """Ends a subscription."""

    channel: Channel
    timeframe: Timeframe = "1m"
    id: Id | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="op"):
    """Asks for a `pong`."""

    id: Id | None = None


Operation = Subscribe | Unsubscribe | Ping
_authenticate = msgspec.json.Decoder(Authenticate)
_operation: msgspec.json.Decoder[Operation] = msgspec.json.Decoder(Operation)
_encoder = msgspec.json.Encoder(decimal_format="string")


class BadMessage(Problem):
    """The message does not have the form that the stream takes."""

    code = "bad_message"
    status = 422


def read_authentication(text: str) -> Authenticate:
    """Read the first message.

    Raises:
        BadMessage: it is something else.
    """
    try:
        return _authenticate.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage('the first message must be {"type": "auth", "token": "…"}') from error


def read_operation(text: str) -> Operation:
    """Read any later message.

    Raises:
        BadMessage: it is not an operation; the detail says why.
    """
    try:
        return _operation.decode(text)
    except msgspec.ValidationError as error:
        raise BadMessage(str(error)) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage("the message is not JSON") from error


def key_of(operation: Subscribe | Unsubscribe) -> str:
    """Return the name of the subscription that an operation is about."""
    if operation.id is not None:
        return operation.id
    if operation.channel is Channel.CANDLES:
        return f"{operation.channel}:{operation.timeframe}"
    return str(operation.channel)


def text_of(value: object) -> str:
    """Return the value as JSON text."""
    return _encoder.encode(value).decode()


def head(channel: Channel, subscription_id: str | None) -> str:
    """Return what each message of a subscription begins with."""
    if subscription_id is None:
        return f'{{"channel":"{channel}",'
    return f'{{"channel":"{channel}","id":{text_of(subscription_id)},'


def tail(
    kind: Literal["snapshot", "update", "resync"], seq: int, data: str, conflated: int = 0
) -> str:
    """Return the rest of a message, which is the same for every reader with that `seq`."""
    if conflated:
        return f'"type":"{kind}","seq":{seq},"conflated":{conflated},"data":{data}}}'
    return f'"type":"{kind}","seq":{seq},"data":{data}}}'


def control(kind: str, **fields: object) -> str:
    """Return a message that belongs to no subscription."""
    present = {name: value for name, value in fields.items() if value is not None}
    return text_of({"type": kind, **present})


def error(problem: Problem, subscription_id: str | None = None) -> str:
    """Return a refusal."""
    return control("error", id=subscription_id, code=problem.code, detail=problem.detail)
