"""Two users of the HTTP face of datasets, on a real database and a real folder."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from alphintra.core.clock import SystemClock
from alphintra.core.errors import NotAuthenticated
from alphintra.core.ids import TimeOrderedIds, UserId
from alphintra.market import DatasetService, datasets_router, seed_datasets, seed_instruments
from alphintra.platform import bus as bus_module
from alphintra.platform import http
from alphintra.platform.database import Database
from alphintra.platform.security import Permission, Principal
from alphintra.platform.services import Services
from alphintra.platform.settings import Settings

USERS = {name: UserId(uuid4()) for name in ("ann", "bob", "admin")}
MAY = {
    "ann": {Permission.DATASETS_READ, Permission.DATASETS_WRITE},
    "bob": {Permission.DATASETS_READ, Permission.DATASETS_WRITE},
    "admin": set(Permission),
}
Upload = Callable[..., Awaitable[httpx.Response]]


class HeaderAuthenticator:
    """Believes a header; stands in for identity."""

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        name = connection.headers.get("x-test-user")
        if name not in USERS:
            raise NotAuthenticated("log in")
        return Principal(user_id=USERS[name], permissions=frozenset(MAY[name]))

    def still_valid(self, principal: Principal) -> bool:
        return True


@pytest.fixture(scope="module")
async def services(
    database_url: str, bus_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    """A database and a storage of this module, with the platform's datasets."""
    clock = SystemClock()
    database = Database(database_url, pool_size=4, application="test datasets")
    bus = await bus_module.connect(bus_url, name="test datasets")
    folder = tmp_path_factory.mktemp("storage")
    made = Services(
        settings=Settings(objects_url=folder.as_uri(), dataset_quota_mb=8),
        database=database,
        bus=bus,
        clock=clock,
        ids=TimeOrderedIds(clock),
    )
    await seed_instruments(made)
    await seed_datasets(made)
    yield made
    await bus.close()
    await database.close()


@pytest.fixture(scope="module")
def storage(services: Services) -> Path:
    """The folder of the files."""
    return Path(services.settings.objects_url.removeprefix("file://"))


@pytest.fixture(scope="module")
async def datasets(services: Services) -> AsyncIterator[DatasetService]:
    """The service of the routes."""
    service = DatasetService(services)
    yield service
    await service.close()


@pytest.fixture(scope="module")
async def client(services: Services, datasets: DatasetService) -> AsyncIterator[httpx.AsyncClient]:
    """The routes, called as ann unless a header says otherwise."""
    app = FastAPI()
    app.state.services = services
    app.state.datasets = datasets
    app.state.authenticator = HeaderAuthenticator()
    app.include_router(datasets_router)
    http.install(app)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"x-test-user": "ann"}, timeout=60
    ) as opened:
        yield opened


@pytest.fixture
def upload(client: httpx.AsyncClient) -> Upload:
    """Sends a file with options."""

    async def send(
        content: bytes, file_name: str = "prices.csv", /, *, user: str = "ann", **options: Any
    ) -> httpx.Response:
        return await client.post(
            "/datasets/upload",
            files={"file": (file_name, content)},
            data={key: str(value) for key, value in options.items()},
            headers={"x-test-user": user},
        )

    return send


def id_of(answer: httpx.Response) -> UUID:
    """Return the id of the dataset in an answer."""
    assert answer.status_code in {200, 201}, answer.text
    return UUID(answer.json()["id"])
