"""How each kind of error ends the process: one table.

0   done, or nothing to do
1   failed
2   usage or configuration
3   refused by policy
75  not now: try again later (EX_TEMPFAIL), with the moment
130, 143  interrupted (SIGINT, SIGTERM)
"""

from collections.abc import Mapping

import click

from certd.cli.errors import Interrupted, show_bug, show_error, show_interrupted, show_usage
from certd.model import errors
from certd.model.problems import Reaction

FAILED, USAGE, REFUSED, LATER = 1, 2, 3, 75
BROKEN_OFF = 130

#: Every class of `certd.model.errors`; a class elsewhere ends as the nearest of its bases does.
EXIT_STATUS: Mapping[type[errors.CertdError], int] = {
    errors.CertdError: FAILED,
    errors.ConfigError: USAGE,
    errors.Mistakes: USAGE,
    errors.PolicyRefused: REFUSED,
    errors.TryLater: LATER,
    errors.CaError: FAILED,
    errors.CaUnreachable: FAILED,
    errors.CaProtocolError: FAILED,
    errors.CaContradiction: FAILED,
    errors.CaRefused: FAILED,  # unless BY_REACTION says otherwise
    errors.ChallengeFailed: FAILED,
    errors.ChainRejected: FAILED,
    errors.ProviderError: FAILED,
    errors.DeployError: FAILED,
    errors.ListenError: FAILED,
    errors.KeyStoreError: FAILED,
    errors.StorageError: FAILED,
}

#: A refusal by the CA, by what its problem type asks of us (`certd.model.problems`).
BY_REACTION: Mapping[Reaction, int] = {
    Reaction.LATER: LATER,
    Reaction.CONFIGURATION: USAGE,
}


def end(failure: Exception, *, wants_json: bool) -> int:
    """Print what ended the command; the exit status."""
    match failure:
        case errors.CertdError():
            status = exit_status(failure)
            show_error(failure, status, wants_json=wants_json)
        case click.ClickException():
            status = USAGE
            show_usage(failure, status, wants_json=wants_json)
        case Interrupted():
            status = failure.status
            show_interrupted(failure, wants_json=wants_json)
        case click.exceptions.Abort():
            status = BROKEN_OFF
            show_interrupted(Interrupted(status, "broken off"), wants_json=wants_json)
        case _:
            status = FAILED
            show_bug(failure, status, wants_json=wants_json)
    return status


def exit_status(error: errors.CertdError) -> int:
    """The status of the nearest class in the table."""
    if isinstance(error, errors.CaRefused) and (status := BY_REACTION.get(error.problem.reaction)) is not None:
        return status
    return next(EXIT_STATUS[kind] for kind in type(error).__mro__ if kind in EXIT_STATUS)
