"""The API's reference in a browser: it is drawn, under its own policy, without anybody else."""

from pathlib import Path

import pytest

from alphintra.gateway.reference_page import CONTENT_POLICY, reference_page
from tests.browser.chromium import Chromium

_DOCUMENT = {
    "info": {"title": "Alphintra", "version": "1", "description": "All of it."},
    "paths": {
        "/api/v1/orders": {
            "post": {
                "tags": ["trading"],
                "operationId": "place_order",
                "description": "Place an order.",
                "x-permissions": ["orders:write"],
                "responses": {"200": {"description": "done"}},
            }
        }
    },
    "components": {"schemas": {"Order": {"properties": {"id": {"type": "string"}}}}},
}


@pytest.mark.parametrize("width", [400, 1_200])
def test_it_is_drawn_under_its_policy(chromium: Chromium, tmp_path: Path, width: int) -> None:
    page = tmp_path / "docs.html"
    # Of a file the policy is a tag; there it may not speak of frames.
    policy = CONTENT_POLICY.replace("; frame-ancestors 'none'", "")
    tag = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    page.write_text(reference_page(_DOCUMENT).replace("<title>", f"{tag}<title>", 1))
    with chromium.tab(width=width) as tab:
        tab.open(page.as_uri())
        assert tab.complaints == []
        assert tab.requests == [page.as_uri()]
        drawn = "getComputedStyle(document.querySelector('summary')).display"
        assert tab.evaluate(drawn) == "flex", "the style is the one that the policy allows"
        tab.evaluate("document.querySelector('details summary').click()")
        assert "orders:write" in tab.evaluate("document.querySelector('details').innerText")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
