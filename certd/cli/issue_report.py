"""How the result of `certd issue` looks, to people and as JSON (docs/json.md)."""

import json
from datetime import datetime, timedelta

import click

from certd.app.result import CHECKED, UP_TO_DATE, IssueResult, paths_of
from certd.model.records import Generation, Renewal


def report(result: IssueResult, *, as_json: bool) -> int:
    """Print it; the exit status."""
    if as_json:
        click.echo(json.dumps(fields(result), ensure_ascii=False))
        return 0
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    if result.status == CHECKED:
        click.echo(f"checked      {result.name}   {result.finding or 'nothing is due'}; nothing was ordered or changed")
    elif result.generation is not None and result.status == UP_TO_DATE:
        left = in_words(result.generation.not_after - result.now)
        click.echo(f"up to date   {result.name}   expires in {left}{_renews(result)}")
    elif result.generation is not None:
        _issued(result, result.generation)
    return 0


def _issued(result: IssueResult, generation: Generation) -> None:
    names = "1 name" if len(result.names) == 1 else f"{len(result.names)} names"
    # Leaves end a second before the round number, so that both ends count (RFC 5280 §4.1.2.5).
    lifetime = in_words(generation.not_after - generation.not_before + timedelta(seconds=1))
    click.echo(
        f"issued   {result.name}   {names}, {generation.key_type.label}, "
        f"expires {moment(generation.not_after, result.now)} ({lifetime}){_renews(result)}"
    )
    where = result.out or result.live
    if where is not None:
        for kind, path in paths_of(where, with_key=generation.key_id is not None).items():
            if kind in {"fullchain", "privkey", "bundle"}:
                click.echo(f"         {path}")


def _renews(result: IssueResult) -> str:
    renewal = result.renewal
    if renewal is None:
        return ""
    by = f"{result.issuer}'s suggested window" if renewal.by_ca else "our own choice, the CA suggests none"
    return f", renews about {moment(renewal.due_at, result.now)} ({by})"


def moment(when: datetime, now: datetime) -> str:
    """A date, with the time where that matters: within two days."""
    return f"{when:%Y-%m-%d}" if abs(when - now) > timedelta(days=2) else f"{when:%Y-%m-%d %H:%M:%S}Z"


def in_words(length: timedelta) -> str:
    """`89 days`, `31 hours`, `40 s`."""
    seconds = round(length.total_seconds())
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def fields(result: IssueResult) -> dict[str, object]:
    """Stable keys, RFC 3339 times, seconds as numbers."""
    generation = result.generation
    return {
        "status": result.status,
        "name": result.name,
        "names": list(result.names),
        "issuer": result.issuer,
        "finding": result.finding,
        "certificate": _certificate(generation) if generation else None,
        "renewal": _renewal(result.renewal) if result.renewal else None,
        "files": paths_of(result.live, with_key=generation.key_id is not None) if result.live and generation else None,
        "out": str(result.out) if result.out else None,
        "notes": list(result.notes),
    }


def _certificate(generation: Generation) -> dict[str, object]:
    return {
        "generation": generation.number,
        "serial": generation.serial,
        "fingerprint_sha256": generation.fingerprint,
        "key_type": generation.key_type.value,
        "profile": generation.profile or None,
        "not_before": generation.not_before.isoformat(),
        "not_after": generation.not_after.isoformat(),
        "reason": generation.reason,
    }


def _renewal(renewal: Renewal) -> dict[str, object]:
    return {
        "due_at": renewal.due_at.isoformat(),
        "window_start": renewal.window_start.isoformat(),
        "window_end": renewal.window_end.isoformat(),
        "suggested_by_ca": renewal.by_ca,
        "explanation_url": renewal.explanation_url or None,
    }
