"""The page of a run: complete, self-contained, safe against what users name things, small."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from alphintra.research import metrics, reports
from alphintra.research.reports.errors import ReportFormatUnknown
from alphintra.research.result import BacktestResult, Warning_
from alphintra.research.search.trials import Trial, Trials
from tests.research.realistic import DAY_NS, make_result, with_manifest

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onload='alert(3)"


class Page(HTMLParser):
    """What a browser would make of a page: elements, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def data(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.scripts[0])
        return document


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return make_result(symbols=("ACME", "BOLT"), count=800)


@pytest.fixture(scope="module")
def page(result: BacktestResult) -> Page:
    return Page(reports.html(result))


def test_the_figures_people_ask_for_first_come_first(page: Page, result: BacktestResult) -> None:
    text = page.text
    total = f"{result.metrics['total_return'] * 100:+.2f}\u00a0%".replace("-", "−")
    assert total in text
    assert text.index(total) < text.index("Assumptions")
    for label in ("Sharpe ratio", "Deepest drawdown", "Profit factor", "Costs", "Check-up"):
        assert label in text


def test_everything_that_a_report_must_show_is_there(page: Page, result: BacktestResult) -> None:
    for text in (
        result.manifest.strategy_sha256, "Calmar", "Omega", "Value at risk", "Ulcer index", "Skew",
        "Alpha per year", "Information ratio", "Probability that Sharpe > 0", "p-value",
        "Deepest drawdowns", "Expectancy", "System quality", "Most losses in a row", "of winners",
        "Turnover per year", "Slippage", "Rejected", "By symbol", "By tag", "By exit reason",
        "By weekday", "By month", "By side", "Monthly returns", "Market orders fill at the next",
        "Deflated Sharpe ratio", "Worst while open (MAE)", "Best while open (MFE)", "Each trade",
        "acme-1d", "Seed",
    ):  # fmt: skip
        assert text in page.text, text


def test_the_charts_have_the_numbers_of_the_run(page: Page, result: BacktestResult) -> None:
    data = page.data()
    charts = {chart["id"]: chart for chart in data["charts"]}
    assert set(charts) >= {
        "equity", "drawdown", "exposure", "rolling-sharpe", "rolling-volatility", "rolling-beta",
        "price-0", "price-1",
    }  # fmt: skip
    np.testing.assert_allclose(charts["equity"]["series"][0]["values"], result.equity, rtol=1e-6)
    assert len(data["times"]["rows"]) == len(result.ts_ns)
    assert sum(len(charts[f"price-{row}"]["trades"]) for row in (0, 1)) == len(result.trades)
    for chart in charts:
        assert ("figure", chart) in {(tag, attrs.get("id")) for tag, attrs in page.elements}


def test_the_page_needs_no_network_and_allows_one_script_only(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base", "form"}
        assert not {"src", "onload", "onclick", "onerror"} & set(attributes)
        target = attributes.get("href") or ""
        assert tag != "a" or target.startswith("#")
    policies = [a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a]
    (policy,) = policies
    assert policy is not None
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}';", policy)
    assert len(page.scripts) == 2


def test_what_a_user_named_is_only_ever_text(result: BacktestResult) -> None:
    evil = replace(
        with_manifest(
            result,
            strategy=EVIL,
            parameters={EVIL: EVIL},
            assumptions=(EVIL,),
            datasets=tuple(replace(data, name=EVIL) for data in result.manifest.datasets),
        ),
        symbols=(EVIL, "BOLT"),
        tags=(EVIL,) * 3,
        prices={EVIL: result.prices["ACME"], "BOLT": result.prices["BOLT"]},
        logs=(EVIL,),
        warnings=(Warning_(code=EVIL, message=EVIL),),
    )
    trial = Trial(number=0, parameters={EVIL: EVIL}, failure=EVIL)
    pages = {
        "run": reports.html(evil),
        "comparison": reports.html([evil, evil]),
        "search": reports.search_html(Trials((trial, *_trials().rows)), title=EVIL),
    }
    for name, text in pages.items():
        page = Page(text)
        assert [tag for tag, _ in page.elements].count("script") == 2, name
        assert not [tag for tag, _ in page.elements if tag == "img"], name
        for _, attributes in page.elements:
            assert not [key for key in attributes if key.startswith("on")], name
        assert EVIL in page.text, name
        json.loads(page.scripts[0])


def test_every_interactive_place_can_be_reached_and_says_what_it_is(page: Page) -> None:
    plots = [attrs for _, attrs in page.elements if attrs.get("class") == "plot"]
    assert plots
    for attributes in plots:
        assert attributes["tabindex"] == "0"
        assert "arrow keys" in (attributes["aria-label"] or "")
    for tag, attributes in page.elements:
        if tag == "button":
            assert attributes["type"] == "button"
    regions = [a for _, a in page.elements if a.get("role") == "region"]
    assert all(attributes["aria-label"] for attributes in regions)
    assert ("html", {"lang": "en"}) in page.elements
    drawings = [attrs for tag, attrs in page.elements if tag == "svg"]
    assert all(attributes["aria-label"] for attributes in drawings)


def test_several_results_are_compared_on_one_page(result: BacktestResult) -> None:
    others = [make_result(count=800, windows=(5, 20)), make_result(count=600, windows=(20, 60))]
    page = Page(reports.html([result, *others]))
    assert "3 runs compared" in page.text
    assert [len(chart["series"]) for chart in page.data()["charts"]] == [3, 3]
    assert "Correlation of daily returns" in page.text
    best = max([result, *others], key=lambda one: one.metrics["total_return"])
    stars = re.findall(r'class="best"[^>]*>([^<]+)<', reports.html([result, *others]))
    assert f"{best.metrics['total_return'] * 100:.2f}\u00a0%".replace("-", "−") in stars
    assert "parameter fast" in page.text


def test_one_result_in_a_list_is_its_own_page(result: BacktestResult) -> None:
    assert reports.html([result]) == reports.html(result)


def test_a_run_without_anything_has_a_page_too(result: BacktestResult) -> None:
    names = ("ts_ns", "equity", "cash", "exposure", "benchmark", "fills", "orders", "trades")
    empty: dict[str, Any] = {name: getattr(result, name)[:0] for name in names}
    nothing = replace(result, **empty, prices={})
    page = Page(reports.html(nothing))
    assert "The run has no rows" in page.text
    assert page.data()["charts"] == []
    assert "2 runs compared" in reports.html([nothing, result])
    assert reports.pdf(nothing).startswith(b"%PDF-")
    json.loads(reports.json(nothing))


def test_a_single_day_without_trades_has_a_page(result: BacktestResult) -> None:
    short = make_result(count=45)
    idle = replace(
        short,
        fills=short.fills[:0], orders=short.orders[:0], trades=short.trades[:0],
        equity=np.full(45, 100_000.0), exposure=np.zeros(45), prices={},
    )  # fmt: skip
    assert "There were no trades" in Page(reports.html(idle)).text
    assert reports.pdf(idle).startswith(b"%PDF-")


def test_a_million_rows_fit_on_a_page_of_eight_megabytes() -> None:
    million = make_result(
        count=1_000_000, step_ns=DAY_NS // 1440, swing=0.0004, drift=0.0, fee_rate=1e-5
    )
    start = perf_counter()
    text = reports.html(million)
    assert perf_counter() - start < 10.0
    assert len(text) < 8_000_000
    page = Page(text)
    # The extremes are still there.
    shown = np.array(page.data()["charts"][0]["series"][0]["values"])
    assert shown.max() == pytest.approx(million.equity.max(), rel=1e-6)
    assert shown.min() == pytest.approx(million.equity.min(), rel=1e-6)
    assert len(million.trades) > 10_000
    assert f"largest of {len(million.trades):,} trades" in page.text


def _trials() -> Trials:
    rows: list[Trial] = []
    for fast in (5, 10, 20):
        for slow in (30, 60):
            result = make_result(count=300, windows=(fast, slow))
            days, returns, _ = metrics.daily_returns(result)
            figures = {
                name: value
                for name, value in result.metrics.items()
                if value is None or isinstance(value, int | float)
            }
            rows.append(
                Trial(
                    number=len(rows) + 1, parameters={"fast": fast, "slow": slow},
                    metrics=figures, days=days, returns=returns,
                )
            )  # fmt: skip
    return Trials(tuple(rows))


def test_a_search_shows_where_the_good_parameters_are_and_how_much_is_luck() -> None:
    trials = _trials()
    page = Page(reports.search_html(trials, objective="sharpe_ratio", title="SMA search"))
    best = max(trials, key=lambda trial: trial.metrics["sharpe_ratio"] or -9.0)
    assert "SMA search" in page.text
    assert "sharpe ratio by slow (down) and fast (across)" in page.text
    assert f"{best.metrics['sharpe_ratio']:.2f}".replace("-", "−") in page.text
    assert "Deflated Sharpe ratio" in page.text
    assert "Probability of overfitting" in page.text
    assert "6 trials" in page.text


def test_a_search_of_which_all_trials_failed_says_why() -> None:
    failed = Trials((Trial(number=1, parameters={"fast": 3}, failure="ValueError: fast, line 12"),))
    text = Page(reports.search_html(failed)).text
    assert "No trial counts" in text
    assert "ValueError: fast, line 12" in text


def test_the_page_of_a_chosen_run_discounts_the_search() -> None:
    trials = _trials()
    text = Page(reports.html(make_result(count=300, windows=(10, 30)), trials=trials)).text
    assert "Trials behind this result 6" in " ".join(text.split())


def test_the_ending_of_the_file_says_which_form(result: BacktestResult, tmp_path: Path) -> None:
    for suffix, begins in ((".html", b"<!doctype html>"), (".pdf", b"%PDF-"), (".json", b"{")):
        path = result.report(tmp_path / f"report{suffix}")
        assert path.read_bytes().startswith(begins)


@pytest.mark.parametrize("name", ["report.docx", "report"])
def test_another_form_is_refused_and_nothing_written(
    result: BacktestResult, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ReportFormatUnknown, match=r"\.html"):
        result.report(tmp_path / name)
    with pytest.raises(ReportFormatUnknown, match=r"\.html"):
        reports.write_report([result, result], tmp_path / "two.pdf")
    assert not list(tmp_path.iterdir())


def test_json_has_the_names_of_the_api_and_the_findings(result: BacktestResult) -> None:
    document = json.loads(reports.json(result))
    assert document["total_trades"] == len(result.trades)
    assert document["final_capital"] == result.final_capital
    assert len(document["trades"]) == len(result.trades)
    assert {"code", "severity", "evidence", "advice"} == set(document["findings"][0])
    assert "equity_curve" not in json.loads(reports.json(result, series=False))


def test_the_same_result_gives_the_same_page(result: BacktestResult) -> None:
    assert reports.html(result) == reports.html(result)
