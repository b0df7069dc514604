"""Each rule of RFC 8555 for a client (R1 to R45) has a test, and says where: a rule without one fails here.

The client's own tests name their rules in the docstring. Rules that other rooms keep are listed with the room; what
they do is tested there.
"""

import ast
import re
from pathlib import Path

import pytest

RULES = [f"R{number}" for number in range(1, 46)]

#: Rules that no request of the client can keep or break.
ELSEWHERE = {
    "R42": "certd/issue: a challenge is answered only after its proof was seen (self-check, propagation)",
    "R44": "certd/dns and providers: TXT value, name, several values side by side",
    "R36": "certd/issue: what was provisioned is withdrawn; the client's half (the error comes through) is below",
    "R37": "certd/issue: polling; the client's half (Retry-After) is below",
    "R38": "certd/issue: which authorization is given up; the client's half (the request) is below",
    "R43": "certd/listen: exact bytes, paths; the client's half (which tokens get there) is below",
    "R45": "certd/account and certd/keys: a fresh key for each account; the client's half (public half only) is below",
}
ENTIRELY_ELSEWHERE = {"R42", "R44"}


def covered() -> dict[str, set[str]]:
    """rule → the tests of this folder that name it."""
    found: dict[str, set[str]] = {rule: set() for rule in RULES}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for rule in re.findall(r"\bR\d+\b", ast.get_docstring(node) or ""):
                    found.setdefault(rule, set()).add(f"{file.stem}::{node.name}")
    return found


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_a_test_here_or_a_room_that_keeps_it(rule: str) -> None:
    tests = covered()[rule]
    if rule in ENTIRELY_ELSEWHERE:
        assert ELSEWHERE[rule]
    else:
        assert tests, f"{rule}: no test names it"


def test_no_test_names_a_rule_that_does_not_exist() -> None:
    assert set(covered()) == set(RULES)
