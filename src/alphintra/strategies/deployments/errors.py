"""Refusals of deployments."""

from alphintra.core.errors import BadRequest, Conflict, NotFound


class NoSuchDeployment(NotFound):
    """There is no such deployment, or it is not yours. `GET /deployments` lists yours."""

    code = "no_such_deployment"


class NoSuchSignal(NotFound):
    """There is no such signal, or it is not yours. `GET /deployments/{id}/signals` lists them."""

    code = "no_such_signal"


class DeploymentStatusRefused(Conflict):
    """The deployment's status does not allow this. Read it again, then decide."""

    code = "deployment_status_refused"


class TooManyDeployments(Conflict):
    """You have as many deployments at work as one user may have. Stop one first."""

    code = "too_many_deployments"


class DeploymentInvalid(BadRequest):
    """The deployment cannot be as it is described. Correct what the detail names."""

    code = "deployment_invalid"


class CapitalExceedsAccount(BadRequest):
    """The capital is more than the account is worth, so its orders would be refused by the desk.

    Deploy with less; `GET /portfolio` tells the account's equity.
    """

    code = "capital_exceeds_account"


class CertificateNeeded(Conflict):
    """Before it trades at a broker, this version needs a day on paper with a passed certificate.

    Deploy it on paper for a day, then `POST /deployments/{id}/certificates`.
    """

    code = "parity_certificate_needed"


class BrokerNeeded(Conflict):
    """Live deployments need a broker connection, and there is none. Deploy with mode PAPER."""

    code = "broker_connection_needed"


class SignalDecided(Conflict):
    """The signal does not wait for an answer any more. Its status says what became of it."""

    code = "signal_decided"


class DeploymentPaused(Conflict):
    """A paused deployment enters nothing. Resume it, and answer then."""

    code = "deployment_paused"


class SignalLapsed(Conflict):
    """The yes came too late: the signal has lapsed, and nothing was ordered."""

    code = "signal_lapsed"


class DayMissing(BadRequest):
    """The deployment did not run on that day (UTC), so there is nothing to certify."""

    code = "deployment_day_missing"
