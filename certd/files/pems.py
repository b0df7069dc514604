"""The five files of a generation as bytes: what is written, and what is found again.

`cert.pem` the leaf, `chain.pem` what follows it (may be empty), `fullchain.pem` both, `privkey.pem` the key (PKCS#8),
`bundle.pem` key, leaf and chain in one file, for readers that must never see a mixed pair (invariant 2).
"""

from dataclasses import dataclass, field

from certd.model.errors import StorageError

_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class PemFile:
    name: str
    data: bytes = field(repr=False)
    is_secret: bool


@dataclass(frozen=True, slots=True)
class Pems:
    """A leaf, its chain and, unless the request came from outside, its key; all PEM, each block ended by a newline."""

    leaf: bytes
    chain: bytes
    private_key: bytes | None = field(default=None, repr=False)

    def files(self) -> tuple[PemFile, ...]:
        """In the order in which copies are switched: the key first, `fullchain.pem` last: once it is new, all are."""
        key = self.private_key
        secret = () if key is None else (PemFile("privkey.pem", key, is_secret=True),)
        bundle = () if key is None else (PemFile("bundle.pem", key + self.leaf + self.chain, is_secret=True),)
        return (
            *secret,
            *bundle,
            PemFile("cert.pem", self.leaf, is_secret=False),
            PemFile("chain.pem", self.chain, is_secret=False),
            PemFile("fullchain.pem", self.leaf + self.chain, is_secret=False),
        )


def pems_of(chain_pem: str, private_key: bytes | None) -> Pems:
    """Split the PEM text of a chain, the leaf first, as the ledger keeps it. Raises StorageError if it holds none."""
    leaf, end, rest = chain_pem.partition(_END)
    if not end or not chain_pem.isascii():
        raise StorageError("the stored chain is damaged: it has no certificate")
    return Pems(f"{leaf}{end}\n".encode("ascii"), rest.lstrip().encode("ascii"), private_key)
