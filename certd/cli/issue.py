"""`certd issue`: parses, calls `certd.app`, prints. Imports of asyncio and X.509 wait until something is due."""

from pathlib import Path

import click

from certd.app.request import AccountOptions, ChallengeOptions, IssueRequest, OutOptions
from certd.cli import options
from certd.cli.commands import Sectioned

HELP = """Obtain a certificate, or renew it when it is due.

A second run of the same command with nothing due contacts no CA and exits 0, so it may stand in a timer. To move from
staging to production, change --server.

\b
certd issue -d example.org -d www.example.org --server letsencrypt-staging \\
            -m ops@example.org --agree-tos
certd issue -d '*.example.org' --dns exec --dns-option program=/etc/certd/dns
certd issue -d demo.localhost --server dev --state-dir ./state

\b
Exit status: 0 done or nothing to do, 1 failed, 2 usage or configuration,
3 refused by policy, 75 not now: try again at the moment that is named.
"""

#: The first option of each section of the help.
SECTIONS = {
    "names": "What",
    "server": "The CA, and the account there",
    "challenges": "Proof that the names are yours",
    "key_type": "Key and certificate",
    "out": "Where it goes",
    "force": "This run",
}


@click.command(
    "issue",
    cls=Sectioned,
    help=HELP,
    sections=SECTIONS,
    stray="{0}: names are given with -d; did you mean -d {0}?",
    short={"-d": "--domain", "-m": "--email"},
)
@click.option(
    "-d", "--domain", "names", multiple=True, metavar="NAME", help="A host name, *.wildcard or IP address; repeat."
)
@click.option("--csr", type=options.A_FILE, help="Issue for this request (PEM or DER); its key stays where it is.")
@click.option("--name", default="", metavar="NAME", help="The certificate's own name.  [default: its first name]")
@options.server
@options.ca_bundle
@options.email
@options.agree_tos
@options.account
@options.external_account
@click.option(
    "--challenge",
    "challenges",
    multiple=True,
    metavar="TYPE",
    help="http-01, dns-01 or tls-alpn-01; repeat to allow several.  [default: dns-01 with --dns, else http-01]",
)
@click.option(
    "--webroot",
    type=options.A_DIRECTORY,
    metavar="DIR",
    help="Answer http-01 through a server that publishes this directory.",
)
@click.option(
    "--http-address",
    default="",
    metavar="HOST:PORT",
    help="Where to listen for http-01; fd:N for a passed socket.  [default: :80; any free port for --server dev]",
)
@click.option(
    "--tls-address",
    default="",
    metavar="HOST:PORT",
    help="Where to listen for tls-alpn-01.  [default: :443; any free port for --server dev]",
)
@click.option(
    "--dns", default="", metavar="PROVIDER", help="Prove by DNS, through this provider (certd providers list)."
)
@click.option(
    "--dns-option",
    "dns_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the provider; secrets by reference; repeat.",
)
@click.option(
    "--dns-resolver",
    "dns_resolvers",
    multiple=True,
    metavar="ADDR[:PORT]",
    help="Ask these resolvers, not the system's; repeat.",
)
@click.option(
    "--dns-server",
    "dns_servers",
    multiple=True,
    metavar="ZONE=ADDR[:PORT]",
    help="Name servers of a zone, instead of its NS records; repeat.",
)
@click.option(
    "--propagation-timeout",
    default="",
    metavar="TIME",
    help="How long to wait for the name servers, as 300s or 5m.  [default: 10m]",
)
@click.option(
    "--key-type",
    default="ec256",
    metavar="TYPE",
    help="ec256, ec384, ec521, rsa2048, rsa3072, rsa4096, ed25519.  [default: ec256]",
)
@click.option("--reuse-key", is_flag=True, help="Keep the key of the last generation.")
@click.option("--profile", default="", metavar="PROFILE", help="One of the CA's certificate profiles.")
@click.option(
    "--preferred-chain", default="", metavar="CN", help="Take the chain whose top issuer has this common name."
)
@click.option("--out", type=options.A_DIRECTORY, metavar="DIR", help="Also copy the files here.")
@click.option("--out-owner", default="", metavar="USER", help="Owner of the copies.")
@click.option("--out-group", default="", metavar="GROUP", help="Group of the copies; it may read them.")
@click.option(
    "--out-mode",
    default="",
    metavar="MODE",
    help="Mode of the copied key.  [default: 0600, or 0640 if a group is given]",
)
@click.option("--reload", default="", metavar="COMMAND", help="Run this once a new certificate is in place; no shell.")
@click.option("--force", is_flag=True, help="Issue although nothing is due. Counts against the CA's limits.")
@click.option("--dry-run", is_flag=True, help="Check all that can be checked, order nothing, change nothing.")
@options.state_dir
@options.wait
@options.as_json
def command(
    names: tuple[str, ...],
    name: str,
    server: str,
    ca_bundle: Path | None,
    email: tuple[str, ...],
    agree_tos: bool,
    account: str,
    eab_kid: str,
    eab_hmac_key: str,
    eab_algorithm: str,
    challenges: tuple[str, ...],
    dns: str,
    dns_options: tuple[str, ...],
    dns_resolvers: tuple[str, ...],
    dns_servers: tuple[str, ...],
    propagation_timeout: str,
    webroot: Path | None,
    http_address: str,
    tls_address: str,
    key_type: str,
    reuse_key: bool,
    profile: str,
    preferred_chain: str,
    csr: Path | None,
    out: Path | None,
    out_owner: str,
    out_group: str,
    out_mode: str,
    reload: str,
    force: bool,
    dry_run: bool,
    state_dir: Path,
    wait: float,
    as_json: bool,
) -> int:
    request = IssueRequest(
        names=names,
        name=name,
        server=server,
        ca_bundle=ca_bundle,
        account=AccountOptions(email, agree_tos, eab_kid, eab_hmac_key, eab_algorithm, account),
        challenge=ChallengeOptions(
            challenges,
            dns,
            dns_options,
            dns_resolvers,
            dns_servers,
            propagation_timeout,
            webroot,
            http_address,
            tls_address,
        ),
        out=OutOptions(out, out_owner, out_group, out_mode),
        key_type=key_type,
        reuse_key=reuse_key,
        profile=profile,
        preferred_chain=preferred_chain,
        csr=csr,
        reload=reload,
        force=force,
        dry_run=dry_run,
        state_dir=state_dir,
        wait=wait,
    )
    return _run(request, as_json=as_json)


def _run(request: IssueRequest, *, as_json: bool) -> int:
    from certd.app.up_to_date import up_to_date
    from certd.cli.issue_report import report

    result = up_to_date(request)
    if result is None:
        from certd.app.issue import run_issue
        from certd.cli.progress import TerminalProgress
        from certd.cli.signals import run_until_signalled

        result = run_until_signalled(run_issue(request, TerminalProgress()))
    return report(result, as_json=as_json)
