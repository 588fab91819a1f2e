"""Stands in for a parser that a file has taken over; preload `strange_parser:take_over`.

What it does is said by the name that the upload's sender gave: `WORD SECRET FOLDER`.
"""

import ctypes
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alphintra.market.datasets import parsing
from alphintra.market.datasets.findings import Findings
from alphintra.market.datasets.parsing import Parsed

_honest = parsing.parse_file


def take_over() -> None:
    """Be the parser of this process and of those that it forks."""
    parsing.parse_file = _parse  # type: ignore[assignment] # what it takes, it hands on


def _parse(file: Any, *, name: str, **how: Any) -> Parsed:
    word, _, rest = name.partition(" ")
    match word:
        case "probe":
            findings = Findings()
            for way in ways_out(*rest.split(" ")):
                findings.warn("escaped", way, "mend the wall")
            findings.refuse("probed", "all were tried", "none")
            return Parsed(report=findings.report())
        case "crash":
            ctypes.string_at(0)
        case "allocate":
            _ = [bytearray(16 * 1024**2) for _ in range(1_000)]
        case "wait":
            time.sleep(600)
        case "lie":
            return Parsed(report=Findings().report())
    return _honest(file, name=name, **how)


def ways_out(secret: str, folder: str) -> list[str]:
    """Return what works of what must not."""
    attempts: dict[str, Callable[[], object]] = {
        "open a socket": lambda: socket.socket(socket.AF_INET).close(),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "read another file": lambda: Path(secret).read_bytes(),
        "write a file": lambda: (Path(folder) / "written").write_bytes(b"1"),
        "write a temporary file": lambda: _write_temporary(),
        "change the upload": lambda: os.open(f"{folder}/upload", os.O_RDWR),
        "list the folder": lambda: list(Path(folder).iterdir()),
        "start a process": _fork,
        "signal its parent": lambda: os.kill(os.getppid(), 0),
        "read a secret of the environment": lambda: os.environ["UPLOAD_TEST_SECRET"],
    }
    return [name for name, attempt in attempts.items() if _works(attempt)]


def _write_temporary() -> None:
    written = Path(f"/tmp/upload-{os.getpid()}")
    written.write_bytes(b"1")
    written.unlink()


def _fork() -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, KeyError):
        return False
    return True
