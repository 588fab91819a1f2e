"""The product with its strategies behind HTTP, and people who make them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from alphintra.gateway import create_app
from alphintra.platform.services import open_services
from tests.gateway.harness import serving
from tests.gateway.product import Person, Product, product_settings

API = "/api/v1"
CODE = '''
from alphintra.sdk import Bar, Strategy, param


class Averages(Strategy):
    """Long while the fast average is above the slow one."""

    fast = param(5, 2, 50, help="bars in the fast average")
    slow = param(20, 3, 200)

    def setup(self) -> None:
        fast = self.indicator("SMA", timeperiod=self.fast)
        self.cross = self.crossing(fast, self.indicator("SMA", timeperiod=self.slow))

    def on_bar(self, bar: Bar) -> None:
        if self.cross.now:
            self.target_weight(max(self.cross.now, 0.0))
'''


class Studio:
    """What the tests of strategies ask."""

    def __init__(self, product: Product, owner: Person, stranger: Person) -> None:
        self.product = product
        self.owner = owner
        self.stranger = stranger

    async def call(
        self, method: str, path: str, *, person: Person | None = None, **more: Any
    ) -> httpx.Response:
        headers = {**(person or self.owner).headers, **more.pop("headers", {})}
        return await self.product.client.request(method, f"{API}{path}", headers=headers, **more)

    async def made(self, *, person: Person | None = None, **wanted: Any) -> dict[str, Any]:
        """Make a strategy, of `CODE` unless something else is wanted."""
        if not {"code", "blocks", "template"} & set(wanted):
            wanted["code"] = CODE
        body = {"name": "Averages", **wanted}
        answer = await self.call("POST", "/strategies", person=person, json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def changed(self, strategy: dict[str, Any], **changes: Any) -> dict[str, Any]:
        answer = await self.call(
            "PUT",
            f"/strategies/{strategy['id']}",
            json={"revision": strategy["revision"], **changes},
        )
        assert answer.status_code == 200, answer.text
        changed: dict[str, Any] = answer.json()
        return changed

    async def version(self, strategy: dict[str, Any], note: str = "") -> dict[str, Any]:
        answer = await self.call(
            "POST", f"/strategies/{strategy['id']}/versions", json={"note": note}
        )
        assert answer.status_code == 201, answer.text
        version: dict[str, Any] = answer.json()
        return version


@pytest.fixture(scope="module")
async def studio(database_url: str, bus_url: str) -> AsyncIterator[Studio]:
    """The HTTP side of the product, without a desk: nothing is traded here."""
    settings = product_settings(database_url, bus_url)
    async with open_services(settings, name="test") as services:
        app = create_app(services)
        async with serving(app) as port:
            product = Product(app, services, port)
            product.client.timeout = httpx.Timeout(120)  # the sandbox opens with the first check
            owner = await product.person("author")
            stranger = await product.person("stranger")
            yield Studio(product, owner, stranger)
            await product.client.aclose()
