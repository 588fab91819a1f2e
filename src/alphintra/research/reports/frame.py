"""The page around a report: one file, with its style, its script and its data, and no network.

What a user named (strategies, symbols, tags) may be anything, so everything is escaped, and the
page's own content security policy allows one script only: ours, by its hash.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from alphintra.research.reports.charts import ChartData
from alphintra.research.reports.wording import safe


def page(
    *, title: str, heading: str, sections: Mapping[str, str], data: ChartData, footer: str
) -> str:
    """Return a whole HTML document.

    Args:
        title: of the browser's tab, plain text.
        heading: HTML above all sections.
        sections: HTML by what the navigation calls it; the first needs no heading.
        data: what the charts show.
        footer: plain text.
    """
    script = _asset("charts.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    names = [name for name, content in sections.items() if content]
    links = "".join(f'<a href="#{_anchor(name)}">{safe(name)}</a>' for name in names)
    body = "".join(
        f'<section id="{_anchor(name)}" aria-label="{safe(name)}">'
        f"{f'<h2>{safe(name)}</h2>' if row else ''}{sections[name]}</section>"
        for row, name in enumerate(names)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{_asset('report.css')}</style></head><body>"
        '<a class="skip" href="#main">Skip to the report</a>'
        f'<header class="top"><div><strong>{safe(title)}</strong><nav aria-label="Sections">'
        f'{links}</nav><button type="button" class="quiet" id="theme" '
        'aria-label="Switch between dark and light">◐</button></div></header>'
        f'<main id="main">{heading}{body}<footer>{safe(footer)}</footer></main>'
        f'<script type="application/json" id="report-data">{_json(data.to_dict())}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def _json(document: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
