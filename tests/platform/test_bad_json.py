"""What a client is told whose body is not JSON."""

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from alphintra.platform import http


class Body(BaseModel):
    """Anything with a name."""

    name: str


@pytest.fixture
def app() -> FastAPI:
    """One route that takes a body."""
    made = FastAPI()

    @made.post("/things")
    async def take(body: Body) -> Body:
        return body

    http.install(made)
    return made


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b'{"name": "a"', "no JSON at line 1, column 13: Expecting ',' delimiter"),
        (b'{\n  "name": "a",\n  oops\n}', "no JSON at line 3, column 3: Expecting property name"),
        (b"\n\nname", "no JSON at line 3, column 1: Expecting value"),
        ('{"näme": ü}'.encode(), "no JSON at line 1, column 10: Expecting value"),
    ],
)
async def test_it_is_told_where(app: FastAPI, sent: bytes, message: str) -> None:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(
            "/things", content=sent, headers={"content-type": "application/json"}
        )
        wrong = await client.post("/things", json={"name": 1})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "invalid_request")
    (fault,) = told["errors"]
    assert fault["field"] == "body"
    assert fault["message"].startswith(message)
    assert told["detail"] == f"body: {fault['message']}"
    assert wrong.json()["errors"][0]["field"] == "body.name"
