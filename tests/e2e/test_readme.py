"""The tour of the README, copied and pasted into a shell."""

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Up

ROOT = Path(__file__).parents[2]
STRATEGY_S = 8
#: With the first compilation of the simulator, on a machine that runs other tests too.
PATIENCE_S = 480


def tour() -> str:
    """Return the commands of the tour, as they stand in the README."""
    page = (ROOT / "README.md").read_text()
    section = page.split("## Five minutes")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


def adapted(script: str, up: Up) -> str:
    """Replace what cannot be the same here: the address, the folder, and a program without end."""
    for found, instead in (
        (". .venv/bin/activate", f"export PATH={Path(sys.executable).parent}:$PATH"),
        ("http://127.0.0.1:8000", up.url),
        ("alphintra doctor", f"alphintra doctor --data {up.data_dir}"),
        ("--demo", f"--demo --data {up.data_dir}"),
        ("tour.key", str(up.data_dir.parent / "tour.key")),
        ("tour.html", str(up.data_dir.parent / "tour.html")),
    ):
        assert found in script, f"the tour does not say {found!r} any more"
        script = script.replace(found, instead)
    # `timeout` ends it with 124, which is what we want; any other end is not.
    return re.sub(
        r"^(.*)python (examples/\S+ .*)$",
        rf"\1 timeout {STRATEGY_S} python -u \2 && exit 9 || [ $? = 124 ]",
        script,
        flags=re.MULTILINE,
    )


def test_the_tour_works_as_it_is_written(up: Up) -> None:
    script = adapted(tour(), up)
    assert "timeout" in script
    environment = {
        name: value for name, value in up.environment().items() if name != "ALPHINTRA_URL"
    }
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert "FILLED" in done.stdout or "ACCEPTED" in done.stdout
    assert '"status":"' in done.stdout.replace(" ", "")
    assert "sharpe_ratio" in done.stdout
    assert (up.data_dir.parent / "tour.html").stat().st_size > 100_000
    assert "refused" not in done.stdout
    assert "not_authenticated" not in done.stdout
