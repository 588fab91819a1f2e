"""What of strategies lives as long as a server process."""

from collections.abc import Sequence
from dataclasses import dataclass

from alphintra.platform.services import Services
from alphintra.strategies.code.room import Room
from alphintra.strategies.code.service import PRELOAD, CodeService
from alphintra.strategies.service import StrategyService
from alphintra.strategies.sharing import SharingService
from alphintra.strategies.versions import VersionService


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategies:
    """The services of strategies; the room is shared with who else runs users' code."""

    room: Room
    code: CodeService
    drafts: StrategyService
    versions: VersionService
    sharing: SharingService

    async def close(self) -> None:
        """End all processes of the room."""
        await self.room.close()


def build_strategies(services: Services, *, preload: Sequence[str] = ()) -> Strategies:
    """Put the services of a process together; put them on `app.state.strategies` and `close` them.

    Args:
        preload: what else the processes of the room may run.
    """
    room = Room((PRELOAD, *preload))
    code = CodeService(room)
    return Strategies(
        room=room,
        code=code,
        drafts=StrategyService(services, code),
        versions=VersionService(services, code),
        sharing=SharingService(services),
    )
