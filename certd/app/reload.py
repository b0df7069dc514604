"""`--reload COMMAND`: tell a server of the new certificate; remembered per generation, so that a failure is retried."""

import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from certd.app.house import House
from certd.model.errors import DeployError
from certd.model.identifiers import from_set_key
from certd.model.records import Generation
from certd.model.steps import Step, step
from certd.program import run_program

LIMIT = timedelta(seconds=120)
PASSED_ON = ("PATH", "HOME", "LANG")


async def reload_server(argv: Sequence[str], house: House, generation: Generation, directory: Path) -> str:
    """Run *argv* unless it has succeeded for this generation already; returns what was run, empty for nothing.

    Raises DeployError: the certificate is in place, the server was not told, and the next run tells it.
    """
    if not argv or await house.ledger.reloaded(generation.name) == generation.number:
        return ""
    command = shlex.join(argv)
    said = f"{generation.name}: generation {generation.number} is in {directory}, but `{command}` "
    hint = "the same command, without --force, runs it again; no new certificate is ordered for that"
    try:
        with step(Step.SERVER_RELOADED):
            outcome = await run_program(argv, _environment(generation, directory, os.environ), house.clock, LIMIT)
    except OSError as error:
        raise DeployError(f"{said}cannot be started: {(error.strerror or str(error)).lower()}", hint=hint) from error
    if complaint := outcome.complaint(LIMIT):
        raise DeployError(f"{said}failed: {complaint}", hint=hint)
    await house.ledger.note_reloaded(generation.name, generation.number)
    return command


def _environment(generation: Generation, directory: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Ours, and the two names that certbot's deploy hooks read; nothing else of certd's environment."""
    names = " ".join(map(str, from_set_key(generation.set_key)))
    return {
        **{name: environ[name] for name in PASSED_ON if name in environ},
        "CERTD_NAME": generation.name,
        "CERTD_GENERATION": str(generation.number),
        "CERTD_DIR": str(directory),
        "CERTD_NAMES": names,
        "RENEWED_LINEAGE": str(directory),
        "RENEWED_DOMAINS": names,
    }
