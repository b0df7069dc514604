"""A finding: a reason with its message, the small currency of every check."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable and for machines (`names-changed`); `message` is a sentence for people."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message
