"""The names of tasks do not depend on how many queues a process has made."""

from procrastinate import Blueprint

from alphintra.platform.jobs import create_jobs


def test_two_queues_know_the_same_tasks_by_the_same_names() -> None:
    blueprint = Blueprint()

    @blueprint.periodic(cron="0 * * * *", periodic_id="hourly")
    @blueprint.task(name="tidy")
    async def tidy(timestamp: int) -> None:
        return None

    for _ in range(2):
        app = create_jobs("", {"house": blueprint})
        assert "house:tidy" in app.tasks
        assert app.tasks["house:tidy"].name == "house:tidy"
        periodic = app.periodic_registry.periodic_tasks.values()
        assert "house:tidy" in {one.task.name for one in periodic}
