"""The way to the desk: a function call where it runs in this process, gRPC where it runs in
another.

The lease row says which desk writes an account's shard and where it listens. An outcome that cannot
be known is `Unknown`: the caller answers 503, and a retry with the same client order id is
harmless.
"""

import hmac
from uuid import UUID
from weakref import WeakValueDictionary

import grpc
import grpc.aio
import msgspec
import structlog
from sqlalchemy import select

from alphintra.platform.database import Database, DatabaseUnavailable
from alphintra.platform.sealing import derive_key, master_key
from alphintra.platform.settings import Settings
from alphintra.trading.book import account_id_of, shard_of
from alphintra.trading.commands import Answer, AnyCommand, Unknown
from alphintra.trading.desk import Desk
from alphintra.trading.models import LeaseRow

METHOD = "/alphintra.trading.Desk/Submit"
TOKEN_KEY = "x-desk-token"  # noqa: S105 - the name of the header, not its content
CALL_TIMEOUT_S = 10.0
MESSAGE_BYTES_MAX = 1_000_000

#: The desks at work in this process, by their id in the lease rows.
local_desks: WeakValueDictionary[UUID, Desk] = WeakValueDictionary()

# JSON, because answers hold JSON that travels as it is: a retry gets the same bytes by either way.
_encode = msgspec.json.Encoder(decimal_format="string").encode
_command_decoder = msgspec.json.Decoder(AnyCommand)
_answer_decoder = msgspec.json.Decoder(Answer)
log = structlog.get_logger(__name__)


def desk_token(settings: Settings) -> str:
    """Return what processes of one deployment prove themselves to each other with."""
    return derive_key(master_key(settings), "desk-rpc").hex()


class DeskClient:
    """Finds the desk of an account and asks it."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._token = desk_token(settings)
        self._leases: dict[int, tuple[UUID, str]] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def submit(self, command: AnyCommand) -> Answer:
        """Return the desk's answer, or `Unknown`."""
        shard = shard_of(account_id_of(command.user_id))
        lease = self._leases.get(shard)
        if lease is None or (lease[0] not in local_desks and not lease[1]):
            lease = await self._find(shard)
        answer = await self._ask(lease, command)
        if isinstance(answer, Unknown):
            # The next command looks the desk up again; this one must not be sent twice by us.
            self._leases.clear()
        return answer

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def _find(self, shard: int) -> tuple[UUID, str] | None:
        try:
            async with self._database.reading() as session:
                rows = await session.execute(
                    select(LeaseRow.shard, LeaseRow.desk_id, LeaseRow.address).where(
                        LeaseRow.desk_id.is_not(None)
                    )
                )
                self._leases = {row.shard: (row.desk_id, row.address) for row in rows}
        except DatabaseUnavailable:
            self._leases = {}
        return self._leases.get(shard)

    async def _ask(self, lease: tuple[UUID, str] | None, command: AnyCommand) -> Answer:
        if lease is None:
            return Unknown("no desk is at work for this account")
        desk_id, address = lease
        if desk := local_desks.get(desk_id):
            return await desk.submit(command)
        try:
            reply: bytes = await self._channel(address).unary_unary(METHOD)(
                _encode(command), timeout=CALL_TIMEOUT_S, metadata=((TOKEN_KEY, self._token),)
            )
        except grpc.aio.AioRpcError as error:
            log.warning("desk_unreachable", address=address, status=error.code().name)
            return Unknown("the desk did not answer")
        answer: Answer = _answer_decoder.decode(reply)
        return answer

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.aio.insecure_channel(
                address, options=[("grpc.enable_retries", 0)]
            )
        return channel


class DeskServer:
    """Takes commands for the desks of this process from other processes."""

    def __init__(self, settings: Settings) -> None:
        self._token = desk_token(settings)
        self._desk: Desk | None = None
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        )
        handler = grpc.unary_unary_rpc_method_handler(self._submit)
        service, method = METHOD.removeprefix("/").split("/")
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )

    def serve(self, desk: Desk | None) -> None:
        """Pass commands to this desk from now on; `None` while there is none."""
        self._desk = desk

    async def start(self, host: str) -> str:
        """Listen on a free port of `host` and return the address."""
        port = self._server.add_insecure_port(f"{host}:0")
        await self._server.start()
        return f"{host}:{port}"

    async def stop(self) -> None:
        await self._server.stop(grace=1.0)

    async def _submit(self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        given = dict(context.invocation_metadata() or ()).get(TOKEN_KEY, "")
        if not hmac.compare_digest(str(given), self._token):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown caller")
        if self._desk is None:
            return _encode(Unknown("the desk is starting"))
        try:
            command = _command_decoder.decode(body)
        except msgspec.DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a command")
        return _encode(await self._desk.submit(command))
