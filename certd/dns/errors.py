"""What DNS questions can fail with."""

from certd.model.errors import ProviderError


class DnsError(ProviderError):
    """A zone or its name servers cannot be found, or a proof is not visible there.

    A ProviderError, because it belongs to the same scope (the DNS zone) and means the same to a workflow: this
    proof cannot be shown now, and `retry` says whether trying again can help.
    """


class Unanswered(DnsError):
    """One server gave no usable answer to one question; the message says what it did instead."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry=True)
