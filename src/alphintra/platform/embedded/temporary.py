"""Servers for a test run or a benchmark, in a folder that is gone afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alphintra.platform.embedded.servers import EmbeddedServers, Endpoints


@contextmanager
def temporary_servers(*, postgres: bool = True, nats: bool = True) -> Iterator[Endpoints]:
    """Run real servers, as durable as any, for the length of a block.

    The folder is made directly in the temporary folder of the system and can be passed by
    everybody, because under root the servers run as another user.
    """
    folder = Path(tempfile.mkdtemp(prefix="alphintra-servers-"))
    folder.chmod(0o755)
    try:
        with EmbeddedServers(folder / "data", postgres=postgres, nats=nats) as servers:
            yield servers.start()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
