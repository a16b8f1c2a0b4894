"""Turn whatever MLflow, its database driver or its HTTP client raises into the registry's own errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import structlog
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from registrar_server.domain.errors import Reason, RegistrarError

_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_REFUSED = frozenset({"INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS", "MALFORMED_REQUEST"})

_MESSAGES = {
    Reason.MLFLOW_UNAVAILABLE: "MLflow does not answer; the call may or may not have taken effect",
    Reason.MLFLOW_DRIFT: "MLflow does not have this, or not in this state: it was changed behind the registry",
    Reason.RUN_NOT_FOUND: "there is no such run in MLflow",
    Reason.TENANT_NOT_FOUND: "MLflow has no workspace of this tenant",
    Reason.ARTIFACT_FILE_NOT_FOUND: "MLflow no longer has this file",
}

_CREDENTIALS = re.compile(r"//[^/\s@]*@")
_LOGGED_CHARACTERS = 300

_log = structlog.get_logger(__name__)


@contextmanager
def translated(operation: str, *, absent: Reason = Reason.MLFLOW_DRIFT, **facts: str) -> Iterator[None]:
    """Raise `RegistrarError` for what goes wrong inside; `absent` is the reason when MLflow has no such thing.

    `facts` (tenant, model, version, run id) go to the log and into the error's metadata; MLflow's own text goes
    to the log only, without credentials and without the parameters of a statement.
    """
    try:
        yield
    except MlflowException as error:
        reason = _reason_of(error, absent)
        _log_failure(operation, reason, error, error.error_code, facts)
        raise RegistrarError(reason, _MESSAGES[reason], metadata=facts) from error
    except (SQLAlchemyError, requests.RequestException, OSError) as error:
        reason = Reason.MLFLOW_UNAVAILABLE
        _log_failure(operation, reason, error, "", facts)
        raise RegistrarError(reason, _MESSAGES[reason], metadata=facts) from error


def is_absent(error: MlflowException) -> bool:
    """Whether MLflow says that the thing does not exist."""
    return error.error_code in _ABSENT


def _reason_of(error: MlflowException, absent: Reason) -> Reason:
    """MLFLOW_UNAVAILABLE for everything that another attempt, or an operator, may cure.

    Over HTTP, statuses 408, 429 and 5xx and broken connections all come as INTERNAL_ERROR; in process, failed
    statements come as BAD_REQUEST, of which only rejected data is final.
    """
    if is_absent(error):
        return absent
    if error.error_code in _REFUSED or isinstance(error.__cause__, (DataError, IntegrityError)):
        return Reason.MLFLOW_DRIFT
    return Reason.MLFLOW_UNAVAILABLE


def _log_failure(operation: str, reason: Reason, error: Exception, code: str, facts: dict[str, str]) -> None:
    # The first line only: SQLAlchemy writes the statement and its parameters (tags, descriptions) below it.
    first_line = str(error).partition("\n")[0]
    said = _CREDENTIALS.sub("//***@", first_line)[:_LOGGED_CHARACTERS]
    kind = type(error.__cause__ or error).__name__
    _log.warning("mlflow.failed", operation=operation, reason=reason.value, code=code, kind=kind, said=said, **facts)
