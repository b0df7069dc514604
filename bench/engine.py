"""The issuing engine as `certd issue` has it and the daemon will, without a command around it.

Everything is real: the ledger and its fsyncs, the journal, keys, the checks of each chain, generations and links on the
disk, our own listener for http-01.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from certd.account.ensure import ensure_account
from certd.app.account import account_wish
from certd.app.house import Conversations, open_house
from certd.app.issuers import parse_server
from certd.app.methods import open_methods
from certd.app.ordering import issuing_tools
from certd.app.request import AccountOptions, ChallengeOptions
from certd.issue.issue import issue
from certd.issue.ports import Tools
from certd.model.acme import ChallengeType, IssuerId
from certd.model.clock import Clock
from certd.model.desired import Desired
from certd.model.findings import Finding
from certd.model.identifiers import Identifier, default_name, parse_identifiers
from certd.model.records import Generation
from tests.servers.process import LOOPBACK

MISSING = Finding("missing", "there is no certificate yet")


class Nobody:
    """The workflow's `Progress` when nobody watches."""

    def validating(self, identifier: Identifier, type_: ChallengeType) -> None: ...
    def valid(self, identifiers: Mapping[Identifier, ChallengeType | None]) -> None: ...
    def failed(self, identifier: Identifier) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """One account at one CA; made by `engine`."""

    tools: Tools
    issuer: IssuerId

    async def issue(self, *names: str) -> Generation:
        identifiers = parse_identifiers(names)
        desired = Desired(name=default_name(identifiers), identifiers=identifiers, issuer=self.issuer)
        generation, _ = await issue(self.tools, desired, MISSING, by_person=True)
        return generation


@asynccontextmanager
async def engine(
    directory_url: str, ca_bundle: Path, port: int, state_dir: Path, clock: Clock | None = None
) -> AsyncIterator[Engine]:
    """A registered account, its listener at *port*."""
    async with open_house(state_dir, wait=1, clock=clock) as house, AsyncExitStack() as stack:
        options = ChallengeOptions(http_address=f"{LOOPBACK}:{port}", tls_address=f"{LOOPBACK}:0")
        methods = await open_methods(options, (ChallengeType.HTTP_01,), house, stack, Nobody())
        issuer = parse_server(directory_url, ca_bundle)
        conversations = Conversations(house, issuer, stack)
        wish = account_wish(house, issuer, AccountOptions(agree_tos=True))
        account = await ensure_account(house.account_tools(issuer, conversations.converse), wish)
        key = await house.keys.open(await house.ledger.key(account.key_id))
        async with conversations.converse(key, account.url) as ca:
            yield Engine(issuing_tools(house, ca, account, methods.table, Nobody()), issuer.id)
