"""Programs of somebody else's: whatever they do, they end in time; what they print is bounded (HK1 to HK8)."""

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from certd.model.clock import Clock, SystemClock
from certd.program import KEPT, TERM_TO_KILL, Outcome, clean, objection, run_program
from tests.fakes.clock import ManualClock

LIMIT = timedelta(seconds=30)
POLL = 0.005
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


async def run(script: str, *arguments: str, clock: Clock | None = None, limit: timedelta = LIMIT) -> Outcome:
    """Run a line of shell, which is the only shell here: of the tests, not of certd."""
    return await run_program(["/bin/sh", "-c", script, "sh", *arguments], PATH, clock or SystemClock(), limit)


def is_running(pid: int) -> bool:
    """A zombie is not: it waits for whoever was its parent, and uses nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - another program sets no event
        await asyncio.sleep(POLL)


async def child_of(folder: Path) -> int:
    """What a script has written into the file `pid`, once it has."""
    await until(lambda: (folder / "pid").exists() and (folder / "pid").read_text().endswith("\n"))
    return int((folder / "pid").read_text())


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 1", 1), ("exit 127", 127), ("kill -KILL $$", -9), ("kill -TERM $$", -15)],
)
async def test_how_it_ended_is_its_status(script: str, status: int) -> None:
    assert await run(script) == Outcome(status, False, "", "")


async def test_both_outputs_are_kept_apart() -> None:
    assert await run("echo out; echo err >&2") == Outcome(0, False, "out\n", "err\n")


async def test_arguments_arrive_as_they_are_and_no_shell_sees_them() -> None:
    """HK7: names and values may come from anybody."""
    odd = ("$(touch /tmp/x)", "`id`", "; rm -rf /", "a\nb", "-rf", "", "*", "ü\\x'\"")
    code = "import sys; sys.stdout.write('|'.join(ascii(a) for a in sys.argv[1:]))"
    outcome = await run_program([sys.executable, "-c", code, *odd], PATH, SystemClock(), LIMIT)

    assert outcome.stdout == "|".join(ascii(each) for each in odd)


async def test_it_gets_the_environment_it_is_given_and_no_more() -> None:
    os.environ["CERTD_TEST_CANARY"] = "c4n4ry"
    try:
        outcome = await run_program(["/usr/bin/env"], {"A": "$(id)\n`x`"}, SystemClock(), LIMIT)
    finally:
        del os.environ["CERTD_TEST_CANARY"]

    assert outcome.stdout == "A=$(id)\n`x`\n"


async def test_it_gets_no_input_no_terminal_and_no_descriptor_of_ours() -> None:
    """HK6. A leaked lock or socket would outlive us in its daemons."""
    with socket.socket() as ours:
        ours.set_inheritable(True)
        outcome = await run("cat; pwd; ls /proc/self/fd; read -r _ _ _ _ _ session _ < /proc/$$/stat; echo $session $$")
    folder, *descriptors, session = outcome.stdout.splitlines()

    assert folder == "/"
    assert descriptors == ["0", "1", "2", "3"]  # and the folder that ls reads
    assert session.split()[0] == session.split()[1]


@pytest.mark.parametrize("name", ["missing", "not-executable", "."])
async def test_what_cannot_be_started_raises_os_error_and_leaves_nothing_open(name: str, tmp_path: Path) -> None:
    (tmp_path / "not-executable").touch(mode=0o644)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are wanted
    with pytest.raises(OSError, match=r"No such file|Permission denied"):
        await run_program([str(tmp_path / name)], PATH, SystemClock(), LIMIT)
    await asyncio.sleep(0)

    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


class TestTimeLimit:
    async def test_one_that_hangs_is_ended_with_its_whole_process_group(self, tmp_path: Path) -> None:
        clock = ManualClock()
        running = asyncio.create_task(run("sleep 1000 & echo $! > $1; wait", str(tmp_path / "pid"), clock=clock))
        child = await child_of(tmp_path)
        assert is_running(child)
        await until(lambda: clock.sleepers)
        await clock.advance(LIMIT)
        outcome = await running

        assert (outcome.status, outcome.timed_out) == (-signal.SIGTERM, True)
        await until(lambda: not is_running(child))

    async def test_one_that_ignores_sigterm_is_killed_three_seconds_later(self, tmp_path: Path) -> None:
        """HK2."""
        clock = ManualClock()
        script = "trap 'echo > $1/term' TERM; sleep 1000 & echo $! > $1/pid; while :; do wait; done"
        running = asyncio.create_task(run(script, str(tmp_path), clock=clock))
        await child_of(tmp_path)
        await until(lambda: clock.sleepers)
        await clock.advance(LIMIT)
        await until((tmp_path / "term").exists)
        assert not running.done()
        await clock.advance(TERM_TO_KILL)
        outcome = await running

        assert (outcome.status, outcome.timed_out) == (-signal.SIGKILL, True)

    async def test_children_that_ignore_sigterm_do_not_outlive_it(self, tmp_path: Path) -> None:
        clock = ManualClock()
        script = "(trap '' TERM; echo $$; exec sleep 1000) & echo $! > $1/pid; wait"
        running = asyncio.create_task(run(script, str(tmp_path), clock=clock))
        child = await child_of(tmp_path)
        await until(lambda: "sleep" in Path(f"/proc/{child}/cmdline").read_text())
        await until(lambda: clock.sleepers)
        await clock.advance(LIMIT)
        await running

        await until(lambda: not is_running(child))

    async def test_what_it_printed_before_is_kept(self, tmp_path: Path) -> None:
        clock = ManualClock()
        script = "echo waiting for the API >&2; echo > $1/said; sleep 1000"
        running = asyncio.create_task(run(script, str(tmp_path), clock=clock))
        await until(lambda: (tmp_path / "said").exists() and clock.sleepers)
        await clock.advance(LIMIT)

        assert (await running).stderr == "waiting for the API\n"

    async def test_cancelling_ends_it_and_its_children(self, tmp_path: Path) -> None:
        running = asyncio.create_task(run("sleep 1000 & echo $! > $1; wait", str(tmp_path / "pid")))
        child = await child_of(tmp_path)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        await until(lambda: not is_running(child))

    async def test_cancelling_while_it_starts_leaves_nothing_either(self, tmp_path: Path) -> None:
        mark = f"{tmp_path}"
        for turns in range(12):
            argv = ["/bin/sh", "-c", "sleep 1000 & wait"]
            running = asyncio.create_task(run_program(argv, PATH | {"MARK": mark}, SystemClock(), LIMIT))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        await until(lambda: not marked(mark))


def marked(mark: str) -> list[str]:
    """Processes that run with this in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"MARK={mark}\0".encode() in place.read_bytes():
                found.append(place.parent.name)
    return found


class TestOutput:
    async def test_a_grandchild_that_keeps_the_output_open_does_not_hold_us(self, tmp_path: Path) -> None:
        """HK3: a program that starts a daemon."""
        outcome = await asyncio.wait_for(run("sleep 1000 & echo $! > $1; echo done", str(tmp_path / "pid")), 10)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

        assert outcome == Outcome(0, False, "done\n", "")

    async def test_of_gigabytes_the_beginning_and_the_end_are_kept(self) -> None:
        """HK4: no stall, and memory that does not grow with what is printed."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = await run("echo first; head -c 300000000 /dev/zero | tr '\\0' x; echo; echo last")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

        assert outcome.stdout.startswith("first\nxxx")
        assert outcome.stdout.endswith("xxx\nlast\n")
        assert "bytes left out" in outcome.stdout
        assert len(outcome.stdout) < KEPT + 100
        assert grown < 32 * 1024  # KiB

    async def test_endless_output_ends_with_the_time_limit(self) -> None:
        outcome = await run("yes no", limit=timedelta(seconds=0.3))

        assert outcome.timed_out
        assert len(outcome.stdout) < KEPT + 100

    async def test_binary_output_becomes_text_without_control_characters(self) -> None:
        outcome = await run(
            r"printf '\377\376\000\033[31mred\033[0m\033]0;title\007\r\n\010\177x\302\205y\342\200\256z'"
        )

        assert outcome.stdout == "\N{REPLACEMENT CHARACTER}" * 2 + "red\nxyz"

    @pytest.mark.parametrize("size", [KEPT - 1, KEPT, KEPT + 1])
    async def test_at_the_bound_nothing_is_lost_or_invented(self, size: int) -> None:
        outcome = await run("head -c $1 /dev/zero | tr '\\0' x", str(size))
        kept = outcome.stdout.count("x")

        assert kept == min(size, KEPT)
        assert ("1 bytes left out" in outcome.stdout) is (size > KEPT)


class TestComplaint:
    @pytest.mark.parametrize(
        ("outcome", "text"),
        [
            (Outcome(0, False, "", "warning: all is well"), None),
            (Outcome(1, False, "", ""), "exit status 1"),
            (Outcome(1, False, "out", "err"), "exit status 1: err"),
            (Outcome(1, False, " only out \n\n", " \n"), "exit status 1: only out"),
            (Outcome(2, False, "", "1\n2\n\n3\n  4"), "exit status 2: 2 / 3 / 4"),
            (Outcome(-9, False, "", ""), "was killed by SIGKILL"),
            (Outcome(-63, False, "", ""), "was killed by signal 63"),
            (Outcome(0, True, "", "x"), "was not done after 30 s and has been ended: x"),
        ],
    )
    def test_it_says_how_it_ended_and_the_last_words(self, outcome: Outcome, text: str | None) -> None:
        assert outcome.complaint(LIMIT) == text

    def test_it_is_bounded(self) -> None:
        text = Outcome(1, False, "", "x" * KEPT).complaint(LIMIT)

        assert text is not None
        assert len(text) < 450

    def test_what_shall_not_be_spoken_is_not(self) -> None:
        """A script with `set -x`, or a vendor's tool that repeats the token it did not like."""
        outcome = Outcome(1, False, "", "+ curl -H 'X-Key: c4n4ry-0' yes c4n4ry-0-long\nbegin\nc4n4ry-line-2\n")
        text = outcome.complaint(LIMIT, unspoken=["c4n4ry-0", "c4n4ry-0-long", "-----\nc4n4ry-line-2\n", "yes", ""])

        assert text == "exit status 1: + curl -H 'X-Key: ***' yes *** / begin / ***"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    (folder / "hook").write_text("#!/bin/sh\n")
    (folder / "hook").chmod(0o755)
    return folder / "hook"


class TestObjection:
    """HK8: whoever could change it would run as certd."""

    def test_ours_in_our_folder_will_do(self, program: Path) -> None:
        assert objection(program) is None
        assert objection(Path("/bin/sh")) is None

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (Path.unlink, "cannot be used: no such file or directory"),
            (lambda p: p.chmod(0o644), "is not executable by certd"),
            (lambda p: p.chmod(0o757), "can be written by everybody on this host"),
            (lambda p: p.parent.chmod(0o777), "can be written by everybody on this host"),
        ],
        ids=["missing", "not-executable", "writable", "folder-writable"],
    )
    def test_what_others_could_change_is_refused(
        self, change: Callable[[Path], object], why: str, program: Path
    ) -> None:
        change(program)
        said = objection(program)

        assert said is not None
        assert why in said

    def test_a_folder_or_device_is_no_program(self, tmp_path: Path) -> None:
        assert objection(tmp_path) == "is not a file"
        assert objection(Path("/dev/null")) == "is not a file"

    def test_a_sticky_folder_such_as_tmp_will_do(self, program: Path) -> None:
        program.parent.chmod(0o1777)

        assert objection(program) is None

    def test_a_link_is_looked_at_at_both_ends(self, program: Path, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        (tmp_path / "open" / "link").symlink_to(program)

        assert f"lies in {tmp_path}/open" in str(objection(tmp_path / "open" / "link"))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_what_belongs_to_another_user_is_refused(self, program: Path) -> None:
        os.chown(program, 12345, -1)
        assert objection(program) == "belongs to user 12345, not to root or to certd's user"
        os.chown(program, 0, -1)
        os.chown(program.parent, 12345, -1)
        assert objection(program) == f"lies in {program.parent}, which belongs to user 12345"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain ü\n", "plain ü\n"),
        ("a\x1b[2Jb", "ab"),
        ("a\x1b]8;;http://x\x1b\\b", "ab"),
        ("a\rb\tc\x00", "abc"),
        ("\u202etxt\u2066", "txt"),
        ("a\x1b", "a"),
        ("\ud800", ""),
    ],
)
def test_cleaning_leaves_text_and_newlines(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
