"""Files to read, wherever they are: at a path, behind a descriptor that somebody else has opened,
or packed in an archive. A process that may open nothing reads as all others do.
"""

import io
import mmap
import os
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final

_BUFFER_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that somebody else has opened, for processes that may open nothing."""

    fd: int
    name: str

    @property
    def stem(self) -> str:
        return Path(self.name).stem


@dataclass(frozen=True)
class PackedFile:
    """A file in an archive. `name` is that of the archive, for messages."""

    archive: "Path | OpenFile"
    member: zipfile.ZipInfo

    @property
    def name(self) -> str:
        return self.archive.name

    @property
    def stem(self) -> str:
        return Path(self.member.filename).stem

    @cached_property
    def content(self) -> bytes:
        """All of it, for formats that are read here and there."""
        with open_bytes(self) as file:
            return file.read()


AnyFile = Path | OpenFile | PackedFile


class _Positioned(io.RawIOBase):
    """A descriptor read from a position of its own: others read it from theirs."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._at, os.fstat(self._fd).st_size)[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, target: Any) -> int:  # `Buffer` has a name from Python 3.12 on
        # Not `preadv`: Python makes a call of it that the sandbox does not have.
        read = os.pread(self._fd, len(target), self._at)
        target[: len(read)] = read
        self._at += len(read)
        return len(read)


def open_bytes(file: AnyFile) -> IO[bytes]:
    """Open a file from its beginning.

    Raises:
        OSError: it cannot be read.
        zipfile.BadZipFile: it is in an archive that is damaged; reading may raise that too.
    """
    match file:
        case OpenFile():
            return io.BufferedReader(_Positioned(file.fd), _BUFFER_BYTES)
        case PackedFile():
            return open_archive(file.archive).open(file.member)
        case _:
            return file.open("rb")


def open_text(file: AnyFile) -> io.TextIOWrapper:
    """Open a text in UTF-8, with or without a byte order mark. See `open_bytes`."""
    return io.TextIOWrapper(open_bytes(file), encoding="utf-8-sig", newline="")


def open_archive(file: Path | OpenFile) -> zipfile.ZipFile:
    """Open a zip. See `open_bytes`."""
    return zipfile.ZipFile(file if isinstance(file, Path) else open_bytes(file))


def open_parquet(file: AnyFile, **options: Any) -> Any:  # pyarrow has no types
    """Open Parquet; its pages are mapped where the file is not packed.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: it is not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    match file:
        case OpenFile():
            pages = mmap.mmap(file.fd, 0, access=mmap.ACCESS_READ)
            return pq.ParquetFile(pa.BufferReader(pa.py_buffer(pages)), **options)
        case PackedFile():
            return pq.ParquetFile(pa.BufferReader(file.content), **options)
        case _:
            return pq.ParquetFile(file, memory_map=True, **options)


def size_of(file: AnyFile) -> int:
    """Return how many bytes a file has, unpacked."""
    match file:
        case OpenFile():
            return os.fstat(file.fd).st_size
        case PackedFile():
            return file.member.file_size
        case _:
            return file.stat().st_size
