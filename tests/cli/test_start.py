import subprocess
import sys

#: What a command may need, but the help text does not.
HEAVY = (
    "alembic", "fastapi", "grpc", "httpx", "msgspec", "nats", "numba", "numpy", "psycopg",
    "pyarrow", "pydantic", "rich", "sqlalchemy", "structlog", "uvicorn",
)  # fmt: skip


def test_help_is_there_at_once() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['alphintra', '--help']\n"
        "from alphintra.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "heavy: []" in answer.stdout
    assert "order" in answer.stdout
