"""Everything about a request that can be found wrong before the state directory is opened and the CA is asked."""

from certd.app.account import check_account
from certd.app.methods import check_methods
from certd.app.request import IssueRequest
from certd.app.wish import Wish, read_request
from certd.model.errors import PolicyRefused
from certd.model.mistakes import Checks
from certd.plan.policy import never_public


def check_request(request: IssueRequest) -> Wish:
    """Raises ConfigError with every mistake, and PolicyRefused for names that no CA in public trust may certify."""
    checks = Checks()
    wish = checks.of(read_request, request)
    checks.of(check_methods, request.challenge)
    checks.of(check_account, request.account)
    checks.verdict()
    if wish is None:
        raise AssertionError("the request could not be read, and the verdict did not say so")
    if wish.issuer.is_public and (refused := never_public(wish.desired.identifiers)):
        raise PolicyRefused(
            "\n".join(refused.reasons),
            hint=f"no CA that browsers trust may certify this; nothing was sent to {wish.issuer.title}\n"
            "to try certd on such a name: --server dev; for names of your own network: your own CA's URL",
        )
    return wish
