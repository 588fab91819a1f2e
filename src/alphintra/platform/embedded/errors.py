"""What can stand in the way of the embedded servers, and what to do about it."""

from alphintra.core.errors import Conflict, Unavailable


class DataFolderInUse(Conflict):
    """Another process runs on this data folder. Use that one, stop it, or name another folder."""

    code = "data_folder_in_use"


class DataFolderUnreachable(Conflict):
    """The user that the servers run as cannot enter the data folder. Name another folder."""

    code = "data_folder_unreachable"


class DataFolderNotYours(Conflict):
    """The data folder belongs to another user. Start as that user or name another folder."""

    code = "data_folder_not_yours"


class DataFolderDamaged(Conflict):
    """The data folder cannot be read. Restore it from a backup or name another folder."""

    code = "data_folder_damaged"


class DatabaseFromOtherVersion(Conflict):
    """The database was made by another major version of PostgreSQL. Dump it with that version."""

    code = "database_from_other_version"


class NoServiceUser(Conflict):
    """There is no unprivileged user to run the servers. Run `useradd --system alphintra`."""

    code = "no_service_user"


class ServerProgramMissing(Conflict):
    """A server program is not installed. Install it or point at one in the environment."""

    code = "server_program_missing"


class ServerDidNotStart(Unavailable):
    """An embedded server did not start. Read the end of its log in the data folder."""

    code = "server_did_not_start"
