"""The page at /docs: complete, and made of nothing but itself."""

import base64
import os
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from alphintra.core.clock import SystemClock
from alphintra.core.ids import TimeOrderedIds
from alphintra.gateway import create_app
from alphintra.gateway.reference_page import STYLE, reference_page
from alphintra.platform.database import Database
from alphintra.platform.services import Services
from alphintra.platform.settings import Settings


class NoBus:
    """The page needs none."""

    async def ping(self) -> None:
        """Be there."""


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application with all its routes, which nobody serves."""
    clock = SystemClock()
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    return create_app(
        Services(
            settings=Settings(master_key=SecretStr(key)),
            database=Database("postgresql://nobody@localhost/none"),
            bus=NoBus(),  # type: ignore[arg-type] # it is only asked whether it is there
            clock=clock,
            ids=TimeOrderedIds(clock),
        )
    )


class Parts(HTMLParser):
    """The ids, links and tags of a page, and whether what is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name == "href":
                self.links.append(str(value))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_route_and_schema_is_there(app: FastAPI) -> None:
    document = app.openapi()
    page = reference_page(document)
    parts = Parts(page)
    assert parts.open == []
    operations = [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    assert len(operations) > 100
    shown = re.findall(r'class="method">(\w+)</span><span class="path">([^<]+)<', page)
    assert sorted(shown) == sorted((method, path) for method, path, _ in operations)
    for _, _, operation in operations:
        for permission in operation.get("x-permissions", ()):
            assert f"<code>{permission}</code>" in page
    assert {f"schema-{name.lower()}" for name in document["components"]["schemas"]} <= {
        one.replace("--", "-") for one in parts.ids
    } | set(parts.ids)
    assert len(parts.ids) == len(set(parts.ids))
    inner = {link[1:] for link in parts.links if link.startswith("#")}
    assert inner <= set(parts.ids)


async def test_it_loads_nothing(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/docs")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    parts = Parts(answer.text)
    assert {tag for tag, _ in parts.tags}.isdisjoint({"script", "link", "img", "iframe", "form"})
    assert all("style" not in attributes for _, attributes in parts.tags)
    assert all(link.startswith(("#", "/")) for link in parts.links)
    assert "url(" not in STYLE


def test_hostile_words_stay_words() -> None:
    evil = "<script>alert(1)</script>"
    field: dict[str, Any] = {
        "type": "string",
        "description": evil,
        "pattern": evil,
        "default": evil,
    }
    document = {
        "info": {"title": evil, "version": evil, "description": f"`{evil}`"},
        "paths": {
            f"/{evil}": {
                "get": {
                    "tags": [evil],
                    "description": evil,
                    "x-permissions": [evil],
                    "parameters": [
                        {"name": evil, "in": evil, "schema": field, "description": evil}
                    ],
                    "responses": {
                        "200": {"description": evil, "content": {evil: {"schema": field}}}
                    },
                }
            }
        },
        "components": {"schemas": {evil: {"properties": {evil: field}, "description": evil}}},
    }
    page = reference_page(document)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
