"""How the result of `certd issue` looks, to people and as JSON (docs/json.md)."""

import stat
from datetime import timedelta
from pathlib import Path

from certd.app.result import CHECKED, ISSUED, UP_TO_DATE, IssueResult, paths_of
from certd.cli.terminal import print_json, say
from certd.model.records import Generation, Renewal
from certd.model.words import in_words, moment

#: What people put into a server's configuration; cert.pem and chain.pem lie beside.
_SHOWN = ("fullchain", "privkey", "bundle")


def report(result: IssueResult, *, as_json: bool) -> int:
    """Print it; the exit status."""
    if as_json:
        print_json(fields(result))
        return 0
    for note in result.notes:
        say(f"note: {note}", err=True)
    if result.status == CHECKED:
        what = f"would be issued: {result.finding}" if result.finding else "nothing is due"
        say(f"checked   {result.name}   {what}; nothing was ordered or changed")
    elif result.generation is not None and result.status == UP_TO_DATE:
        left = in_words(result.generation.not_after - result.now)
        say(f"up to date   {result.name}   expires in {left}, renews {_due(result)}")
    elif result.generation is not None:
        _issued(result, result.generation)
    return 0


def _issued(result: IssueResult, generation: Generation) -> None:
    names = "1 name" if len(result.names) == 1 else f"{len(result.names)} names"
    # Leaves end a second before the round number, so that both ends count (RFC 5280 §4.1.2.5).
    lifetime = in_words(generation.not_after - generation.not_before + timedelta(seconds=1))
    say(
        f"{ISSUED}   {result.name}   {names}, {generation.key_type.label}, "
        f"expires {moment(generation.not_after, result.now)} ({lifetime}), renews {_due(result)}"
    )
    where = result.out or result.live
    paths = paths_of(where, with_key=generation.key_id is not None) if where is not None else {}
    shown = [paths[kind] for kind in _SHOWN if kind in paths]
    width = max(map(len, shown), default=0)
    for path in shown:
        say(f"         {path:{width}}   {_mode(path)}".rstrip())
    if result.reloaded:
        say(f"         reloaded by: {result.reloaded}")


def _mode(path: str) -> str:
    """Of files that not everybody may read."""
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
    except OSError:
        return ""
    return "" if mode & 0o004 else f"{mode:04o}"


def _due(result: IssueResult) -> str:
    renewal = result.renewal
    if renewal is None:
        return "after two thirds of its lifetime"
    by = f"{result.issuer}'s suggested window" if renewal.by_ca else "our own choice, because the CA suggests none"
    return f"about {moment(renewal.due_at, result.now)} ({by})"


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
        "reloaded": result.reloaded or None,
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
