"""X.509 for the issuing workflow: `certd.keys` and `certd.ca.cert_id` behind its `Certificates` port."""

from collections.abc import Sequence
from datetime import datetime

from certd.ca.cert_id import cert_id
from certd.issue.ports import LeafFacts
from certd.keys import certificates, chain, csr
from certd.model.acme import Chain, Chains
from certd.model.desired import Desired
from certd.model.errors import ChainRejected
from certd.model.findings import Finding
from certd.model.identifiers import Identifier
from certd.model.keys import SigningKey
from certd.model.records import Generation


def is_for_another_key(desired: Desired, generation: Generation | None) -> bool:
    """Whether the given CSR is for another key than the certificate that is there; false where none is given."""
    if desired.csr is None or generation is None or not generation.csr_given:
        return False
    leaf = certificates.chain_from_pem(generation.chain).leaf
    return csr.public_der(desired.csr) != certificates.parse_leaf(leaf).public_der


class X509:
    """Pure but for the awaited signature."""

    async def csr(self, key: SigningKey, identifiers: Sequence[Identifier]) -> bytes:
        return await csr.build_csr(key, identifiers)

    def choose(self, chains: Chains, preferred: str) -> tuple[Chain, bool]:
        return chain.preferred_chain(chains, preferred) if preferred else (chains.default, True)

    def check(self, got: Chain, csr_der: bytes, identifiers: Sequence[Identifier], now: datetime) -> Sequence[Finding]:
        return chain.check_chain(got, public_der=csr.public_der(csr_der), identifiers=identifiers, now=now)

    def facts(self, leaf: bytes) -> LeafFacts:
        """Raises ChainRejected for a key that certd does not know."""
        facts = certificates.parse_leaf(leaf)
        if facts.key_type is None:
            raise ChainRejected("the certificate has a key of a kind that certd does not know")
        return LeafFacts(
            serial=facts.serial,
            not_before=facts.not_before,
            not_after=facts.not_after,
            fingerprint=facts.fingerprint,
            cert_id=cert_id(leaf),
            key_type=facts.key_type,
        )

    def pem(self, got: Chain) -> str:
        return certificates.chain_pem(got)
