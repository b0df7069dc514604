"""What holds for every test: only loopback is talked to, no thread stays behind, servers' logs are shown on failure."""

import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests import loopback_guard
from tests.flow.everywhere.witnesses import lonely
from tests.servers.process import logs
from tests.servers.requirement import strict

THREAD_LIMIT = 2.0  # seconds for threads to end by themselves after a test
LONGEST_ID = 60  # characters of a parameter in a test's name

# The same examples on every run and machine: a failure in CI is there on the desk as well.
settings.register_profile("certd", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("certd")


loopback_guard.install()


@pytest.fixture(autouse=True)
def only_loopback_is_talked_to() -> Iterator[None]:
    """Fails the test also where the refusal went down in a task that nobody looked at."""
    loopback_guard.refused.clear()
    yield
    assert not loopback_guard.refused, f"not loopback: {loopback_guard.refused}"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + THREAD_LIMIT
    while (left := _threads_since(before)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not left, f"threads left running: {left}"


def _threads_since(before: set[threading.Thread]) -> list[str]:
    # asyncio's own (the default executor, waiters for child processes) belong to loops that pytest-asyncio ends.
    return [
        each.name
        for each in threading.enumerate()
        if each not in before and not each.daemon and not each.name.startswith("asyncio_")
    ]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long values read badly as names, and are often made at random: and xdist's processes must agree on names."""
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_ID else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and strict():
        report.outcome, report.longrepr = "failed", f"CERTD_TEST_STRICT=1 allows no skip: {_reason(report)}"
    if report.failed:
        report.sections += [(f"log of {log.program} ({log.path})", log.tail()) for log in logs]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many were skipped for which reason, whatever options the run was given; what one CA alone has seen."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        counted = "; ".join(f"{count} times {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped {sum(reasons.values())}: {counted}")
    for line in lonely(terminalreporter.stats.get("passed", ())):
        terminalreporter.write_line(line)


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return " ".join(text.removeprefix("Skipped: ").split())
