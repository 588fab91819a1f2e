"""Where the files of datasets are: object storage, a plain folder for the time being.

A key is a content hash, so an object is never changed: it is there whole, or not at all.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from alphintra.market.datasets.errors import ObjectsUnavailable
from alphintra.platform.embedded import default_data_dir

_KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PREFIX: Final = "upload-"
#: Work of a process that died is removed when it is older than this.
_STALE_S: Final = 3_600.0


class ObjectStore(Protocol):
    """Immutable objects by content hash."""

    def scratch(self) -> AbstractContextManager[Path]:
        """Return a folder for work in progress; it is gone afterwards, whatever happens."""
        ...

    def put(self, file: Path, key: str) -> None:
        """Move a finished file in, durably; an object that is there already stays as it is.

        Raises:
            ObjectsUnavailable: the storage does not take it.
        """
        ...

    def path(self, key: str) -> Path:
        """Return where this machine can read an object.

        Raises:
            ObjectsUnavailable: it is not there.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        ...


class FolderStore:
    """Objects as files in a folder: `datasets/ab/abcd….parquet`."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "datasets"
        self._incoming = folder / "incoming"

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        self.sweep()
        try:
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._incoming))
        except OSError as error:
            raise ObjectsUnavailable(f"{self._incoming} cannot be written: {error.strerror}") from (
                error
            )
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, file: Path, key: str) -> None:
        target = self._target(key)
        if target.exists():
            return
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file.open("rb") as written:
                os.fsync(written.fileno())
            file.chmod(0o400)
            file.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise ObjectsUnavailable(f"the dataset cannot be kept: {error.strerror}") from error

    def path(self, key: str) -> Path:
        target = self._target(key)
        if not target.is_file():
            raise ObjectsUnavailable(f"the file of dataset {key[:12]}… is not in the storage")
        return target

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self._target(key).unlink()

    def sweep(self) -> None:
        """Remove what processes that died have left in progress."""
        with suppress(FileNotFoundError):
            for left in self._incoming.iterdir():
                if left.name.startswith(_PREFIX) and left.stat().st_mtime < time.time() - _STALE_S:
                    shutil.rmtree(left, ignore_errors=True)

    def _target(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ObjectsUnavailable(f"{key[:70]!r} is not the name of an object")
        return self._objects / key[:2] / f"{key}.parquet"


def open_store(url: str) -> FolderStore:
    """Return the object storage that the settings name.

    Args:
        url: `file:///folder`, a path, or empty for the folder `objects` in the data folder.

    Raises:
        ObjectsUnavailable: storage of that kind is not known.
    """
    if not url:
        return FolderStore(default_data_dir() / "objects")
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc:
        return FolderStore(Path(unquote(parts.path)))
    if not parts.scheme and url.startswith("/"):
        return FolderStore(Path(url))
    raise ObjectsUnavailable(f"ALPHINTRA_OBJECTS_URL: {url[:80]!r} is neither file:///… nor a path")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
