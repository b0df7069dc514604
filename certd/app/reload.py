"""`--reload COMMAND`: tell a server of the new certificate; remembered per generation, so that a failure is retried."""

import os
import shlex
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from certd.app.house import House
from certd.model.errors import ConfigError, DeployError
from certd.model.identifiers import from_set_key
from certd.model.records import Generation
from certd.model.steps import Step, step
from certd.program import run_program

LIMIT = timedelta(seconds=120)
PASSED_ON = ("PATH", "HOME", "LANG")


def parse_command(command: str) -> tuple[str, ...]:
    """Words as a shell would split them; no shell runs them. Raises ConfigError."""
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"--reload {command!r}: {str(error).lower()}") from error
    if command and not argv:
        raise ConfigError("--reload: the command is empty")
    return argv


async def reload_server(command: str, house: House, generation: Generation, directory: Path) -> None:
    """Run *command* unless it has succeeded for this generation already.

    Raises DeployError: the certificate is in place, the server was not told, and the next run tells it.
    """
    argv = parse_command(command)
    if not argv or await house.ledger.reloaded(generation.name) == generation.number:
        return
    said = f"{generation.name}: generation {generation.number} is in {directory}, but `{command}` "
    hint = "the same command runs it again; no new certificate is ordered for that"
    try:
        with step(Step.SERVER_RELOADED):
            outcome = await run_program(argv, _environment(generation, directory, os.environ), house.clock, LIMIT)
    except OSError as error:
        raise DeployError(f"{said}cannot be started: {error.strerror or error}", hint=hint) from error
    if complaint := outcome.complaint(LIMIT):
        raise DeployError(f"{said}failed: {complaint}", hint=hint)
    await house.ledger.note_reloaded(generation.name, generation.number)


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
