"""Every figure and every finding is explained in the documentation."""

from pathlib import Path

from alphintra.research import metrics
from tests.research.doctor.test_doctor import CASES
from tests.research.realistic import make_result

_DOCS = Path(__file__).parents[2] / "docs"


def test_every_figure_of_a_run_is_explained() -> None:
    text = (_DOCS / "concepts" / "metrics.md").read_text(encoding="utf-8")
    missing = [name for name in metrics.summarise(make_result()) if f"`{name}`" not in text]
    assert missing == []


def test_every_finding_is_explained() -> None:
    text = (_DOCS / "howto" / "read-a-report.md").read_text(encoding="utf-8")
    source = (_DOCS.parent / "src/alphintra/research/doctor.py").read_text(encoding="utf-8")
    codes = {line.split('"')[1] for line in source.splitlines() if line.strip().startswith("code=")}
    assert codes == set(CASES)
    assert [code for code in codes if f"`{code}`" not in text] == []
