"""Children are started again within bounds, end on time and never outlive their supervisor."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import alphintra
from alphintra.platform import processes
from alphintra.platform.processes import (
    Backoff,
    Crew,
    Managed,
    ProcessDidNotStart,
    ProcessKeepsDying,
    StopStep,
    bound_log,
    describe_end,
    end_of_log,
    spawn,
    stop_all,
)
from tests.platform.supervised import wait_until_gone

CHILD = Path(__file__).with_name("child.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(alphintra.__file__).parent.parent)}
STEPS = (StopStep(signal.SIGTERM, 2.0), StopStep(signal.SIGKILL, 2.0))


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew(environment=ENVIRONMENT, log_dir=tmp_path, program=(sys.executable, CHILD))
    yield made
    made.stop()


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def shell(command: str) -> Callable[[], subprocess.Popen[bytes]]:
    def start() -> subprocess.Popen[bytes]:
        return spawn(
            ["/bin/sh", "-c", command], environment=os.environ, death_signal=signal.SIGKILL
        )

    return start


def test_child_imports_first_and_starts_when_the_gate_opens(crew: Crew, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    crew.start("child", ("stays", str(steps)))
    wait_for(lambda: steps.exists() and steps.read_text() == "imported\n")
    assert not crew.ready()
    crew.open_gate()
    wait_for(crew.ready)
    assert steps.read_text() == "imported\nstarted\n"
    assert (tmp_path / "child.log").read_text() == "said by the child\n"


def test_child_is_ready_when_its_part_has_begun_to_work(crew: Crew, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    crew.start("child", ("works", str(steps)))
    crew.open_gate()
    wait_for(lambda: steps.exists() and "announced" in steps.read_text())
    assert not crew.ready()
    (tmp_path / "go").touch()
    wait_for(crew.ready)


def test_child_that_was_killed_starts_again_without_waiting_at_the_gate(
    crew: Crew, tmp_path: Path
) -> None:
    crew.start("child", ("stays", str(tmp_path / "steps")))
    crew.open_gate()
    wait_for(crew.ready)
    first = crew.pids()["child"]
    assert first is not None
    os.kill(first, signal.SIGKILL)
    news: list[str] = []

    def is_back() -> bool:
        news.extend(crew.tend(now_s=time.monotonic()))
        return len(news) == 2 and crew.ready()

    wait_for(is_back)
    assert "was killed by SIGKILL" in news[0]
    assert crew.pids()["child"] != first


def test_child_that_ends_before_it_is_ready_is_reported_with_its_log(
    crew: Crew, tmp_path: Path
) -> None:
    crew.start("child", ("dies", str(tmp_path / "steps")))
    crew.open_gate()
    with pytest.raises(ProcessDidNotStart, match="ended with code 3"):
        wait_for(crew.ready)


def test_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    managed = Managed("deaf", shell(f"trap '' TERM; touch {deaf}; sleep 60"), stop_steps=STEPS)
    managed.start()
    wait_for(deaf.exists)
    pid = managed.pid
    assert pid is not None
    stop_all([managed])
    wait_until_gone([pid], timeout_s=1)


def test_stop_takes_grandchildren_along(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    managed = Managed("parent", shell(f"sleep 60 & echo $! > {written}; wait"), stop_steps=STEPS)
    managed.start()
    wait_for(lambda: written.exists() and written.read_text().strip() != "")
    stop_all([managed])
    wait_until_gone([int(written.read_text())], timeout_s=2)


def test_children_are_stopped_at_the_same_time(tmp_path: Path) -> None:
    command = "trap 'sleep 0.5; exit' TERM; touch {}; sleep 60 & wait"
    trapped = [tmp_path / str(number) for number in range(4)]
    slow = [Managed("slow", shell(command.format(file)), stop_steps=STEPS) for file in trapped]
    for managed in slow:
        managed.start()
    wait_for(lambda: all(file.exists() for file in trapped))
    began_s = time.monotonic()
    stop_all(slow)
    assert time.monotonic() - began_s < 1.8


def test_process_that_keeps_dying_is_given_up_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def start() -> subprocess.Popen[bytes]:
        return spawn(
            ["/bin/sh", "-c", "echo the reason; exit 7"],
            environment=os.environ,
            death_signal=signal.SIGKILL,
            log=log,
        )

    managed = Managed(
        "doomed", start, stop_steps=STEPS, log=log, backoff=Backoff(restarts_max=2, delay_first_s=0)
    )
    managed.start()
    with pytest.raises(ProcessKeepsDying, match="the reason"):
        wait_for(lambda: managed.tend(now_s=time.monotonic()) == "never")
    assert log.read_text().splitlines() == ["the reason"] * 3


def test_pauses_grow_and_an_old_death_is_forgotten() -> None:
    backoff = Backoff(restarts_max=4, window_s=60, delay_first_s=0.1, delay_max_s=2)
    delays = [backoff.delay_s(now_s=second) for second in (0.0, 1.0, 2.0, 3.0)]
    assert delays == pytest.approx([0.1, 0.3, 0.9, 2.0])
    assert backoff.delay_s(now_s=4.0) is None
    assert Backoff(restarts_max=1).delay_s(now_s=0.0) is not None
    patient = Backoff(restarts_max=1, window_s=60)
    assert [patient.delay_s(now_s=at) is None for at in (0.0, 100.0, 200.0)] == [False] * 3


def test_only_the_main_thread_may_start_children() -> None:
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            shell("true")()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_children_die_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    script = Path(__file__).with_name("crew_supervisor.py")
    with subprocess.Popen(
        [sys.executable, script, CHILD, str(tmp_path / "steps")],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        # The child shares the supervisor's output, so its own line comes first.
        assert supervisor.stdout.readline() == "said by the child\n"
        child = int(supervisor.stdout.readline())
        supervisor.kill()
        wait_until_gone([child], timeout_s=2)


def test_ctrl_c_in_the_terminal_reaches_only_the_supervisor() -> None:
    process = shell("sleep 60")()
    try:
        assert os.getpgid(process.pid) != os.getpgid(0)
        assert os.getsid(process.pid) != os.getsid(0)
    finally:
        process.kill()
        process.wait()


def test_log_beyond_its_bound_is_set_aside_while_its_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES_MAX", 10)
    log = tmp_path / "log"
    writer = processes.open_log(log)
    os.write(writer, b"before the bound\n")
    bound_log(log)
    os.write(writer, b"after\n")
    os.close(writer)
    assert log.read_bytes() == b"after\n"
    assert log.with_name("log.1").read_bytes() == b"before the bound\n"
    bound_log(tmp_path / "absent")


def test_messages_say_how_a_process_ended(tmp_path: Path) -> None:
    assert describe_end(None) == "is running"
    assert describe_end(2) == "ended with code 2"
    assert describe_end(-9) == "was killed by SIGKILL"
    assert end_of_log(tmp_path / "absent") == "(it wrote nothing)"
    assert end_of_log(None) == "(its output is above)"
