"""Reports in a browser: the charts are drawn, move, obey the keyboard, and need no network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from alphintra.research import reports
from tests.browser.chromium import Chromium, Tab
from tests.research.realistic import DAY_NS, make_result, with_manifest

_VIEW = "document.querySelector('#equity .plot svg').textContent"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "run.html"
    return make_result(symbols=("ACME", "BOLT"), count=1_000).report(path)


@pytest.fixture
def tab(chromium: Chromium, page: Path) -> Iterator[Tab]:
    with chromium.tab() as tab:
        tab.open(page.as_uri())
        yield tab
        assert tab.complaints == []


def _wait_for_drawing(tab: Tab) -> None:
    tab.settle()
    assert tab.evaluate("document.documentElement.dataset.ready") == "yes"


def test_every_chart_is_drawn_and_nothing_complains(tab: Tab) -> None:
    _wait_for_drawing(tab)
    empty = tab.evaluate(
        "[...document.querySelectorAll('figure[id]:not([hidden])')]"
        ".filter(f => !f.querySelector('svg path')).map(f => f.id)"
    )
    assert empty == []
    broken = tab.evaluate(
        "[...document.querySelectorAll('path')].filter(p => /NaN|undefined|Infinity/"
        ".test(p.getAttribute('d'))).length"
    )
    assert broken == 0
    assert tab.evaluate("document.querySelectorAll('#price-0 .trade').length") > 5


def test_nothing_but_the_file_is_asked_for(tab: Tab, page: Path) -> None:
    _wait_for_drawing(tab)
    assert tab.requests == [page.as_uri()]


def test_all_charts_move_together_by_keyboard(tab: Tab) -> None:
    _wait_for_drawing(tab)
    read = "['equity','drawdown','price-0'].map(i => document.querySelector(`#${i} svg`).innerHTML)"
    before = tab.evaluate(read)
    tab.evaluate("document.querySelector('#equity .plot').focus()")
    tab.press("+")
    zoomed = tab.evaluate(read)
    assert all(old != new for old, new in zip(before, zoomed, strict=True))
    tab.press("ArrowLeft", shift=True)
    assert tab.evaluate(read) != zoomed
    tab.press("Home")
    assert tab.evaluate(read)[1:] == before[1:]


def test_arrows_read_the_values_aloud_in_sight(tab: Tab) -> None:
    _wait_for_drawing(tab)
    tab.evaluate("document.querySelector('#equity .plot').focus()")
    tab.press("ArrowRight")
    tip = tab.evaluate("document.querySelector('#equity .tip').textContent")
    assert "Strategy" in tip
    assert "Buy and hold" in tip
    tab.press("Escape")
    assert tab.evaluate("document.querySelector('#equity .tip').hidden") is True


def test_the_log_scale_changes_the_axis(tab: Tab) -> None:
    _wait_for_drawing(tab)
    path = "document.querySelector('#equity path.line').getAttribute('d')"
    before = tab.evaluate(path)
    tab.evaluate("document.querySelector('#equity [data-log]').click()")
    tab.settle()
    assert tab.evaluate(path) != before
    pressed = "document.querySelector('#equity [data-log]').getAttribute('aria-pressed')"
    assert tab.evaluate(pressed) == "true"


def test_a_series_can_be_hidden_and_a_span_chosen(tab: Tab) -> None:
    _wait_for_drawing(tab)
    count = "document.querySelectorAll('#equity path.line').length"
    assert tab.evaluate(count) == 2
    tab.evaluate("document.querySelector('#equity [data-series=\"Buy and hold\"]').click()")
    tab.settle()
    assert tab.evaluate(count) == 1
    axis = "document.querySelector('#drawdown svg').textContent"
    before = tab.evaluate(axis)
    tab.evaluate("document.querySelector('[data-span=\"31557600000\"]').click()")
    tab.settle()
    assert tab.evaluate(axis) != before


def test_another_symbol_can_be_chosen(tab: Tab) -> None:
    _wait_for_drawing(tab)
    tab.evaluate(
        "(p => { p.selectedIndex = 1; p.dispatchEvent(new Event('change')); })"
        "(document.getElementById('symbol'))"
    )
    shown = "[...document.querySelectorAll('figure[data-symbol]')].map(f => f.hidden)"
    assert tab.evaluate(shown) == [True, False]


def test_tables_sort_by_their_numbers(tab: Tab) -> None:
    _wait_for_drawing(tab)
    column = 7  # P&L
    tab.evaluate(
        "window.table = [...document.querySelectorAll('table.sortable')]"
        ".find(t => t.caption.textContent === 'All trades');"
        f"table.tHead.rows[0].cells[{column}].querySelector('button').click()"
    )
    values = tab.evaluate(
        f"[...table.tBodies[0].rows].map(r => Number(r.cells[{column}].dataset.sort))"
    )
    assert values == sorted(values, reverse=True)
    assert len(values) > 10


def test_dark_and_light_follow_the_system_and_the_button(tab: Tab) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        tab.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        tab.settle()
        seen[scheme] = tab.evaluate(colour)
    assert seen["light"] != seen["dark"]
    tab.evaluate("document.getElementById('theme').click()")
    assert tab.evaluate(colour) == seen["light"]


def test_print_is_light_and_without_buttons(tab: Tab) -> None:
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate("getComputedStyle(document.querySelector('header.top')).display") == "none"
    assert tab.call("Page.printToPDF", preferCSSPageSize=True)["data"].startswith("JVBER")


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_is_wider_than_the_screen(chromium: Chromium, page: Path, width: int) -> None:
    with chromium.tab(width=width) as tab:
        tab.open(page.as_uri())
        tab.settle()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_hostile_name_runs_nothing(chromium: Chromium, tmp_path: Path) -> None:
    name = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>"
    result = with_manifest(make_result(count=300), strategy=name)
    path = result.report(tmp_path / "evil.html")
    with chromium.tab() as tab:
        tab.open(path.as_uri())
        _wait_for_drawing(tab)
        assert tab.evaluate("typeof window.hit") == "undefined"
        assert tab.evaluate("document.querySelector('h1').textContent") == name
        # Even a script that got in would not run: the page allows only its own.
        tab.evaluate(
            "(s => { s.textContent = 'window.hit=2'; document.body.append(s); })"
            "(document.createElement('script'))"
        )
        assert tab.evaluate("typeof window.hit") == "undefined"


def test_the_other_pages_are_drawn_too(chromium: Chromium, tmp_path: Path) -> None:
    runs = [make_result(count=400, windows=windows) for windows in ((5, 20), (10, 40))]
    comparison = reports.write_report(runs, tmp_path / "two.html")
    with chromium.tab() as tab:
        tab.open(comparison.as_uri())
        _wait_for_drawing(tab)
        assert tab.evaluate("document.querySelectorAll('#equity path.line').length") == 2
        assert tab.complaints == []


def test_a_million_rows_are_drawn_within_seconds(chromium: Chromium, tmp_path: Path) -> None:
    million = make_result(
        count=1_000_000, step_ns=DAY_NS // 1440, swing=0.0004, drift=0.0, fee_rate=1e-5
    )
    path = million.report(tmp_path / "million.html")
    with chromium.tab() as tab:
        tab.open(path.as_uri())
        _wait_for_drawing(tab)
        took = tab.evaluate(
            "(() => { const start = performance.now();"
            "document.querySelector('[data-span=\"2629800000\"]').click();"
            "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame("
            "() => done(performance.now() - start)))); })()"
        )
        assert took < 2_000
        assert tab.complaints == []
