"""HTTP face of datasets."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from alphintra.core.clock import to_ns
from alphintra.market.datasets import looking
from alphintra.market.datasets.charting import POINTS_MAX, POINTS_MIN
from alphintra.market.datasets.findings import Severity
from alphintra.market.datasets.schemas import (
    AdjustBody,
    ChartView,
    DatasetView,
    PreviewView,
    QualityView,
    RecordBody,
    ResampleBody,
    StatisticsView,
)
from alphintra.market.datasets.service import UPLOAD_BYTES_MAX, Dataset, DatasetService
from alphintra.market.errors import InvalidTimeRange
from alphintra.platform.http import Cursor, Limit, Page
from alphintra.platform.security import Permission, Principal, requires

datasets_router = APIRouter(tags=["datasets"], prefix="/datasets")

Reader = Annotated[Principal, requires(Permission.DATASETS_READ)]
Writer = Annotated[Principal, requires(Permission.DATASETS_WRITE)]
DatasetId = Annotated[UUID, Path(description="of the dataset")]
SymbolQuery = Annotated[
    str, Query(max_length=32, pattern=r"^[^\x00]*$", description="empty: the first of the dataset")
]
Start = Annotated[datetime | None, Query(description="from this time on, with an offset")]
End = Annotated[datetime | None, Query(description="before this time, with an offset")]
#: What the form around the file may add.
_FORM_BYTES_MAX = 1_000_000
_OPTIONS = {
    "name": "what to call the dataset",
    "visibility": "private, or platform (administrators)",
    "symbol": "of the rows, where the file has no column that says it",
    "timeframe": "of candles, e.g. 1m; found from their distance when left out",
    "timezone": "IANA name of the zone of times that have none",
    "columns": "names in order, comma separated, for files without a header",
    "date_format": "strptime form of the times",
    "date": "the day of times that count from midnight",
    "price_scale": "what prices are multiplied by",
    "times": "open or close: what candles are stamped with",
    "bad_rows": "drop: leave rows out that cannot be right",
    "duplicates": "first or last: which of different candles of one time counts",
    "order": "sort: accept rows that are in no order",
    "jumps": "keep: accept jumps that look like an error or a missed split",
    "adjustment": "raw, split or total_return: what prices are adjusted for already",
}
_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **{
                            name: {"type": "string", "description": words}
                            for name, words in _OPTIONS.items()
                        },
                    },
                }
            }
        },
    }
}


async def dataset_service(request: Request) -> DatasetService:
    """Return the service of this process."""
    return cast(DatasetService, request.app.state.datasets)


Datasets = Annotated[DatasetService, Depends(dataset_service)]


async def take_uploads(request: Request) -> None:
    """Let this request's body be as large as an upload may be."""
    request.state.body_bytes_max = UPLOAD_BYTES_MAX + _FORM_BYTES_MAX


@datasets_router.get("")
async def list_datasets(
    caller: Reader,
    datasets: Datasets,
    symbol: Annotated[str, Query(max_length=32, pattern=r"^[^\x00]*$")] = "",
    kind: Literal["", "candles", "quotes", "trades"] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DatasetView]:
    """Your datasets and those of the platform, the latest first."""
    found, after = await datasets.page(caller, limit=limit, cursor=cursor, symbol=symbol, kind=kind)
    return Page(items=[view(one) for one in found], next=after)


@datasets_router.post(
    "/upload",
    status_code=201,
    dependencies=[Depends(take_uploads)],
    openapi_extra=_UPLOAD_BODY,
    responses={200: {"model": DatasetView, "description": "the same content is there already"}},
)
async def upload_dataset(
    caller: Writer, datasets: Datasets, request: Request, response: Response
) -> DatasetView:
    """Upload CSV, Parquet, JSON, or CSV in a zip. Refusals carry the report on the file."""
    made, is_new = await datasets.upload(
        caller, request.stream(), content_type=request.headers.get("content-type", "")
    )
    return _made(made, is_new, response)


@datasets_router.post(
    "/record",
    status_code=201,
    responses={200: {"model": DatasetView, "description": "the same content is there already"}},
)
async def record_dataset(
    caller: Writer, datasets: Datasets, body: RecordBody, response: Response
) -> DatasetView:
    """Make a dataset of candles or ticks that the platform has recorded."""
    made, is_new = await datasets.record(caller, body)
    return _made(made, is_new, response)


@datasets_router.get("/{dataset_id}")
async def get_dataset(caller: Reader, datasets: Datasets, dataset_id: DatasetId) -> DatasetView:
    """One dataset."""
    return view(await datasets.get(caller, dataset_id))


@datasets_router.delete("/{dataset_id}", status_code=204)
async def delete_dataset(caller: Writer, datasets: Datasets, dataset_id: DatasetId) -> None:
    """Remove a dataset of yours. Results that name it keep its hash."""
    await datasets.delete(caller, dataset_id)


@datasets_router.get("/{dataset_id}/preview")
async def preview_dataset(
    caller: Reader,
    datasets: Datasets,
    dataset_id: DatasetId,
    symbol: SymbolQuery = "",
    rows: Annotated[int, Query(ge=1, le=500, description="at each end")] = 20,
) -> PreviewView:
    """The first and the last rows."""
    return await datasets.look(
        caller, dataset_id, lambda path, one: looking.preview(path, one, rows), symbol=symbol
    )


@datasets_router.get("/{dataset_id}/statistics")
async def get_statistics(
    caller: Reader, datasets: Datasets, dataset_id: DatasetId
) -> StatisticsView:
    """Figures by symbol: returns, volatility, gaps, volumes, spreads."""
    return await datasets.look(caller, dataset_id, lambda path, _: looking.figures(path))


@datasets_router.get("/{dataset_id}/quality")
async def get_quality(caller: Reader, datasets: Datasets, dataset_id: DatasetId) -> QualityView:
    """What was found when the dataset was made."""
    report = (await datasets.get(caller, dataset_id)).report
    return QualityView.model_validate(report, from_attributes=True)


@datasets_router.get("/{dataset_id}/chart")
async def get_chart(
    caller: Reader,
    datasets: Datasets,
    dataset_id: DatasetId,
    symbol: SymbolQuery = "",
    style: Literal["candles", "line"] = "candles",
    points: Annotated[int, Query(ge=POINTS_MIN, le=POINTS_MAX, description="at most")] = 800,
    start: Start = None,
    end: End = None,
) -> ChartView:
    """Candles or a line, reduced to what a screen can show; ticks are always a line."""
    start_ns, end_ns = _span(start, end)
    return await datasets.look(
        caller,
        dataset_id,
        lambda path, one: looking.chart(
            path, one, style=style, points=points, start_ns=start_ns, end_ns=end_ns
        ),
        symbol=symbol,
    )


@datasets_router.get(
    "/{dataset_id}/data",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {looking.ARROW_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            "description": "an Arrow IPC stream",
        }
    },
)
async def download_dataset(
    caller: Reader,
    datasets: Datasets,
    dataset_id: DatasetId,
    symbol: SymbolQuery = "",
    start: Start = None,
    end: End = None,
) -> StreamingResponse:
    """All rows, or those of a symbol and a range, as an Arrow IPC stream."""
    start_ns, end_ns = _span(start, end)

    def opened(path: Any, _: str) -> Iterator[bytes]:
        return looking.arrow_stream(path, symbol, start_ns, end_ns)

    pieces = await datasets.look(caller, dataset_id, opened, symbol=symbol)
    return StreamingResponse(pieces, media_type=looking.ARROW_TYPE)


@datasets_router.post(
    "/{dataset_id}/resample",
    status_code=201,
    responses={200: {"model": DatasetView, "description": "the same content is there already"}},
)
async def resample_dataset(
    caller: Writer,
    datasets: Datasets,
    dataset_id: DatasetId,
    body: ResampleBody,
    response: Response,
) -> DatasetView:
    """Make a dataset of candles of a longer timeframe."""
    made, is_new = await datasets.resample(caller, dataset_id, body)
    return _made(made, is_new, response)


@datasets_router.post(
    "/{dataset_id}/adjust",
    status_code=201,
    responses={200: {"model": DatasetView, "description": "the same content is there already"}},
)
async def adjust_dataset(
    caller: Writer, datasets: Datasets, dataset_id: DatasetId, body: AdjustBody, response: Response
) -> DatasetView:
    """Make a dataset whose prices are adjusted for splits, for splits and dividends, or not."""
    made, is_new = await datasets.adjust(caller, dataset_id, body)
    return _made(made, is_new, response)


def view(dataset: Dataset) -> DatasetView:
    """Return a dataset as HTTP shows it."""
    warnings = [one for one in dataset.report.findings if one.severity is Severity.WARNING]
    return DatasetView(
        id=dataset.id,
        name=dataset.name,
        visibility="platform" if dataset.owner_id is None else "private",
        symbols=list(dataset.symbols),
        kind=cast(Literal["candles", "quotes", "trades"], dataset.kind),
        timeframe=dataset.timeframe or None,
        rows=dataset.rows,
        first_at=dataset.first_at,
        last_at=dataset.last_at,
        bytes=dataset.bytes,
        sha256=dataset.sha256,
        source=dataset.source,
        file_name=dataset.file_name,
        adjustment=dataset.adjustment,
        verdict=dataset.report.verdict,
        warnings=len(warnings),
        parent_id=dataset.parent_id,
        derivation=dataset.derivation,
        created_at=dataset.created_at,
    )


def _made(dataset: Dataset, is_new: bool, response: Response) -> DatasetView:
    if not is_new:
        response.status_code = 200
    return view(dataset)


def _span(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """Return a range in nanoseconds; open ends reach as far as times go."""
    for at in (start, end):
        if at is not None and at.tzinfo is None:
            raise InvalidTimeRange("start and end need an offset, e.g. 2024-01-31T00:00:00Z")
        if at is not None and not 1700 <= at.year <= 2250:
            raise InvalidTimeRange("times lie in the years 1700 to 2250")
    start_ns = -(2**62) if start is None else to_ns(start)
    end_ns = 2**63 - 1 if end is None else to_ns(end)
    if end_ns <= start_ns:
        raise InvalidTimeRange("the end has to be after the start")
    return start_ns, end_ns
