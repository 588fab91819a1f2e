"""What datasets refuse, and why."""

from alphintra.core.errors import BadRequest, Conflict, Forbidden, NotFound, Problem, Unavailable


class UnknownDataset(NotFound):
    """There is no such dataset, or it is not yours. `GET /datasets` lists those there are."""

    code = "unknown_dataset"


class UploadNeedsDecision(Problem):
    """The file can be read in more than one way, or holds what is hardly right.

    `report.findings` says what: those of severity `decision` name the option that decides it. Send
    the file again with these options, or correct it.
    """

    code = "upload_needs_decision"
    status = 422


class UploadRefused(Problem):
    """The file cannot be taken. `report.findings` names reason and rows; correct the file."""

    code = "upload_refused"
    status = 422


class InvalidOption(BadRequest):
    """An option of the upload cannot be. The detail names it and what it may be."""

    code = "invalid_option"


class MalformedForm(BadRequest):
    """The body is not the form (`multipart/form-data`) that this route takes: one file, named."""

    code = "malformed_form"


class UploadTooLarge(Problem):
    """The file is larger than an upload may be. Split it, by time for instance, or pack it."""

    code = "upload_too_large"
    status = 413


class DatasetQuotaReached(Conflict):
    """Your datasets take all the room that you have. Delete some that you do not need."""

    code = "dataset_quota_reached"


class UploadsBusy(Unavailable):
    """Other uploads are being checked. Send it again shortly."""

    code = "uploads_busy"


class DatasetNotYours(Forbidden):
    """The dataset belongs to the platform; only an administrator may remove it."""

    code = "dataset_not_yours"


class SymbolNotInDataset(NotFound):
    """The dataset has no such symbol. It lists those that it has as `symbols`."""

    code = "symbol_not_in_dataset"


class CannotDerive(BadRequest):
    """The dataset cannot be resampled or adjusted like that. The detail says why."""

    code = "cannot_derive"


class NothingRecorded(NotFound):
    """Nothing was recorded of this symbol in this range. Start a feed or import data for it."""

    code = "nothing_recorded"


class ObjectsUnavailable(Unavailable):
    """The storage of datasets does not answer, or a file is missing from it. Ask again shortly."""

    code = "objects_unavailable"
