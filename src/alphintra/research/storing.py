"""Results as files: columns and figures in one archive, named by what is in it, never changed.

An archive is a zip of NumPy columns and JSON. Nothing in it is code, and reading one part reads
only that part.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Bars
from alphintra.research.errors import ResultGone
from alphintra.research.result import (
    FILL,
    ORDER,
    TRADE,
    BacktestResult,
    DatasetReference,
    Manifest,
    Warning_,
)

#: Files of equal content are equal: they carry no time of their own.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_COLUMNS: Final = ("ts_ns", "equity", "cash", "exposure", "benchmark", "fills", "orders", "trades")
_BARS: Final = ("open_ns", "close_ns", "open", "high", "low", "close", "volume")
_DTYPES: Final = {"fills": FILL, "orders": ORDER, "trades": TRADE}
_ABOUT: Final = "about.json"


Parts = Mapping[str, NDArray[Any] | str]


def write_archive(target: Path | IO[bytes], parts: Parts) -> None:
    """Write columns and texts to a file."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, part in parts.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                if isinstance(part, str):
                    member.write(part.encode())
                else:
                    np.lib.format.write_array(member, part, allow_pickle=False)


def read_text(path: Path, name: str) -> str:
    """Return a text of an archive."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode()


def read_columns(path: Path, *names: str) -> list[NDArray[Any]]:
    """Return columns of an archive, in the order of their names."""
    with zipfile.ZipFile(path) as archive:
        return [_column(archive, name) for name in names]


def _column(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        column: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return column


def save_result(result: BacktestResult, target: Path | IO[bytes]) -> None:
    """Write a result to a file."""
    parts: dict[str, NDArray[Any] | str] = {
        f"{name}.npy": np.ascontiguousarray(getattr(result, name)) for name in _COLUMNS
    }
    for number, bars in enumerate(result.prices.values()):
        for name in _BARS:
            parts[f"prices/{number}/{name}.npy"] = np.ascontiguousarray(getattr(bars, name))
    about = {
        "manifest": asdict(result.manifest)
        | {"created_at": result.manifest.created_at.isoformat()},
        "symbols": result.symbols,
        "initial_capital": result.initial_capital,
        "tags": result.tags,
        "prices": list(result.prices),
        "logs": result.logs,
        "warnings": [asdict(warning) for warning in result.warnings],
    }
    parts[_ABOUT] = json.dumps(about, default=_plain)
    write_archive(target, parts)


def load_result(path: Path) -> BacktestResult:
    """Read what `save_result` wrote."""
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read(_ABOUT))
        columns = {name: _column(archive, name) for name in _COLUMNS}
        prices = {
            symbol: Bars(
                symbol, **{name: _column(archive, f"prices/{number}/{name}") for name in _BARS}
            )
            for number, symbol in enumerate(about["prices"])
        }
    for name, dtype in _DTYPES.items():
        columns[name] = columns[name].astype(dtype)
    manifest = about["manifest"]
    manifest["datasets"] = tuple(DatasetReference(**one) for one in manifest["datasets"])
    manifest["created_at"] = datetime.fromisoformat(manifest["created_at"])
    manifest["assumptions"] = tuple(manifest["assumptions"])
    return BacktestResult(
        manifest=Manifest(**manifest),
        symbols=tuple(about["symbols"]),
        initial_capital=about["initial_capital"],
        tags=tuple(about["tags"]),
        prices=prices,
        logs=tuple(about["logs"]),
        warnings=tuple(Warning_(**one) for one in about["warnings"]),
        **columns,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


class ResultStore:
    """Archives in a folder, by content hash: `results/ab/abcd….zip`."""

    def __init__(self, folder: Path) -> None:
        self._results = folder / "results"

    def put(self, file: Path, key: str) -> None:
        """Move a finished file in; the same content twice is one file."""
        target = self._target(key)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.chmod(0o400)
        file.replace(target)
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def path(self, key: str) -> Path:
        """Return where a result is.

        Raises:
            ResultGone: the storage does not have it.
        """
        target = self._target(key)
        if not target.is_file():
            raise ResultGone("the result's file is not in the storage any more; run it again")
        return target

    def delete(self, key: str) -> None:
        """Remove a result; one that is not there is fine."""
        with suppress(FileNotFoundError):
            self._target(key).unlink()

    def scratch(self) -> Path:
        """Return the folder for work in progress, on the same file system."""
        folder = self._results / "working"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _target(self, key: str) -> Path:
        return self._results / key[:2] / f"{key}.zip"


def open_results(url: str) -> ResultStore:
    """Return the store of results in the object storage that the settings name.

    Args:
        url: `file:///folder`, a path, or empty for the folder `objects` in the data folder.
    """
    if not url:
        from alphintra.platform.embedded import default_data_dir

        return ResultStore(default_data_dir() / "objects")
    parts = urlsplit(url)
    return ResultStore(Path(unquote(parts.path) if parts.scheme == "file" else url))
