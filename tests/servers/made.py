"""What a CA has made since it started, as it tells itself; whoever the client was."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Made:
    accounts: int = 0
    orders: int = 0
    certificates: int = 0

    def __sub__(self, earlier: "Made") -> "Made":
        return Made(
            self.accounts - earlier.accounts, self.orders - earlier.orders, self.certificates - earlier.certificates
        )
