"""What nobody should send is refused with a reason, never with a fault."""

from uuid import uuid4

import pytest

from tests.research.http.conftest import Lab


@pytest.mark.parametrize(
    "changed",
    [
        '"parameters": {"fast": NaN}',
        '"parameters": {"fast": Infinity}',
        '"parameters": {"fast": null}',
        '"parameters": {"fast": {"deep": [1]}}',
        '"parameters": {"fast": 1e308}',
        f'"parameters": {{"fast": {"9" * 400}}}',
        f'"parameters": {{"fast": "{"9" * 100}"}}',
        '"cash": NaN',
        '"cash": -Infinity',
        '"costs": {"rate": NaN}',
        '"seed": 1e400',
        '"strategy": "../../etc/passwd"',
        '"strategy": "sma_cross.py:SmaCross"',
        '"symbols": ["../X"]',
        '"start": "9999-12-31T23:59:59Z", "end": "0001-01-01T00:00:00Z"',
        '"name": "a\\u0000b"',
        '"dataset_ids": ["../../x"]',
    ],
)
async def test_what_makes_no_sense_is_refused(lab: Lab, changed: str) -> None:
    body = f'{{"strategy": "sma_cross", "dataset_ids": ["{lab.dataset_id}"], {changed}}}'
    for kind in ("backtests", "optimizations"):
        answer = await lab.call(
            "POST", f"/{kind}", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in {400, 404, 422}, (answer.status_code, answer.text)
        assert answer.json()["code"]


async def test_runs_that_are_not_there_cannot_be_compared(lab: Lab) -> None:
    body = {"ids": [str(uuid4()), str(uuid4())]}
    assert (await lab.call("POST", "/backtests/compare", json=body)).status_code == 404
