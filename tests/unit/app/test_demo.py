"""The demo shows what it says: two certificates, one of them seen by a handshake, and nothing due after that."""

from pathlib import Path

import pytest

from certd.app.demo import DemoFailed, handshake, run_demo, serving
from certd.keys.certificates import chain_from_pem, fingerprint
from tests.fakes.publishers import Progress


async def test_two_certificates_and_a_handshake(tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    await run_demo(tmp_path / "state", lambda what, text: said.append((what, text)), Progress())
    assert [what for what, _ in said] == ["issued", "issued", "served", "up to date"]
    assert "demo.test by http-01" in said[0][1]
    assert "alpn.demo.test by tls-alpn-01" in said[1][1]
    assert "seen by a TLSv1.3 handshake against the CA's root" in said[2][1]
    again: list[str] = []
    await run_demo(tmp_path / "state", lambda what, _: again.append(what), Progress())
    assert again == ["up-to-date", "up-to-date", "served", "up to date"]


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    await run_demo(tmp_path / "state", lambda *_: None, Progress())
    return tmp_path / "state"


async def test_what_the_handshake_saw_is_what_is_on_the_disk(state: Path) -> None:
    live = state / "live" / "alpn.demo.test"
    async with serving(live, "alpn.demo.test") as port:
        seen = await handshake(port, "alpn.demo.test", state / "devca" / "root.pem")
    assert seen.fingerprint == fingerprint(chain_from_pem((live / "fullchain.pem").read_text()).leaf)


async def test_another_certificate_is_not_taken_for_it(state: Path) -> None:
    """A demo that is always green proves nothing."""
    async with serving(state / "live" / "alpn.demo.test", "demo.test") as port:
        with pytest.raises(DemoFailed, match=r"demo\.test: the handshake with 127\.0\.0\.1:\d+ failed"):
            await handshake(port, "demo.test", state / "devca" / "root.pem")


async def test_a_server_that_is_gone_is_a_failure(state: Path) -> None:
    async with serving(state / "live" / "demo.test", "demo.test") as port:
        pass
    with pytest.raises(DemoFailed, match="the handshake with"):
        await handshake(port, "demo.test", state / "devca" / "root.pem")
