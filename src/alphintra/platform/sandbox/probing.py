"""A child tries what must not work; a host where it works is no place for users' code."""

import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from alphintra.platform.sandbox.channel import Channel

PROBE: Final = "alphintra.platform.sandbox.probing:try_walls"
_HOLES: Final = 64  # the exit code of a child that got out


def try_walls(_: Channel) -> None:
    """Exit with 0 when every wall holds."""
    open_doors = [name for name, attempt in _ATTEMPTS.items() if _works(attempt)]
    if open_doors:
        sys.stderr.write(f"it could {', '.join(open_doors)}\n")
        raise SystemExit(_HOLES)
    # And what has to work, works.
    assert Path(os.__file__).stat().st_size == len(Path(os.__file__).read_bytes())


def explain(code: int, output: str) -> str:
    """Return in words how the child that tried ended."""
    last = output.strip().splitlines()[-1] if output.strip() else "no word of it"
    return last if code == _HOLES else f"the child that tries them ended with {code}: {last}"


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError as error:
        # Anything else would be an accident, and not a wall.
        return error.errno not in {errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS}
    return True


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _write() -> None:
    Path(f"/tmp/escaped-{os.getpid()}").write_text("")  # noqa: S108 - nobody can have made it ours


_ATTEMPTS: Final[dict[str, Callable[[], object]]] = {
    "open a socket": lambda: socket.socket(socket.AF_INET),
    "start a process": _fork,
    "run a program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
    "write a file": _write,
    "read the system's users": lambda: Path("/etc/passwd").read_bytes(),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
}
