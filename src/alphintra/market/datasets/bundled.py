"""The datasets that a new installation has: the bundled public-domain history."""

import asyncio
import shutil
from datetime import date
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from sqlalchemy import select

from alphintra.market.datasets import deriving
from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.options import DAY_NS, UploadOptions
from alphintra.market.datasets.parsing_process import check_here
from alphintra.market.datasets.service import DatasetService, day_ns
from alphintra.market.datasets.storage import open_store
from alphintra.market.datasets.taking import DATA, UPLOAD, Checked
from alphintra.market.models import DatasetRow
from alphintra.market.seed import BUNDLED
from alphintra.platform.services import Services

SOURCE: Final = "demo"
#: Splits within the bundled years; the files have prices as they were traded.
_SPLITS: Final = {"AAPL": ((date(2000, 6, 21), 2.0), (date(2005, 2, 28), 2.0))}


async def seed_datasets(services: Services) -> None:
    """Make the platform's datasets of the bundled history; a repeat changes nothing.

    Where a symbol was split in these years there are two: as traded, and adjusted for the splits.

    Raises:
        DatabaseUnavailable, ObjectsUnavailable: see there.
    """
    async with services.database.reading() as session:
        known = await session.scalar(
            select(DatasetRow.id).where(DatasetRow.source == SOURCE).limit(1)
        )
    if known is not None:
        return
    store = open_store(services.settings.objects_url)
    datasets = DatasetService(services, store)
    for symbol in BUNDLED:
        actions = tuple(
            Action(symbol=symbol, ex_ns=day_ns(day), ratio=ratio)
            for day, ratio in _SPLITS.get(symbol, ())
        )
        with store.scratch() as folder:
            checked = await asyncio.to_thread(
                _check, symbol, folder, actions, services.clock.now_ns()
            )
            traded = await datasets.add(folder, checked, name=f"{symbol} daily", source=SOURCE)
        if not actions:
            continue
        with store.scratch() as folder:
            checked = await asyncio.to_thread(_adjusted, datasets.path(traded), folder, actions)
            name = f"{symbol} daily, adjusted for splits"
            await datasets.add(folder, checked, name=name, source=SOURCE)


def _check(symbol: str, folder: Path, actions: tuple[Action, ...], now_ns: int) -> Checked:
    packaged = files("alphintra.market") / "demo" / f"{symbol}_1d.parquet"
    with as_file(packaged) as path:
        shutil.copyfile(path, folder / UPLOAD)
    options = UploadOptions(symbol=symbol, timeframe="1d", jumps="keep", adjustment="raw")
    checked = check_here(folder, name=packaged.name, options=options, now_ns=now_ns)
    return Checked(
        report=checked.report, facts=checked.facts, actions=actions, adjustment=checked.adjustment
    )


def _adjusted(path: Path, folder: Path, actions: tuple[Action, ...]) -> Checked:
    content = deriving.adjusted(
        path, actions, before="raw", after="split", timeframe="1d", step_ns=DAY_NS
    )
    return deriving.finish(content, folder / DATA, actions=actions, adjustment="split")
