"""Revocation (RFC 8555 §7.6)."""

import pytest

from certd.ca.quirks import quirks_of
from certd.ca.revocation import revocation
from certd.model.acme import RevocationReason
from certd.model.errors import CaRefused, ConfigError
from certd.model.keys import KeyType
from certd.model.problems import Reaction
from tests.fakes.signing import FakeKey
from tests.unit.ca.conftest import Connect
from tests.unit.ca.csr import KEY
from tests.unit.ca.fake_ca import FakeCa
from tests.unit.ca.faults import problem, status
from tests.unit.ca.steps import Steps

CERTIFICATE_KEY = FakeKey(KEY, KeyType.EC256)


@pytest.mark.parametrize("reason", RevocationReason)
async def test_the_account_revokes_with_each_reason(fake: FakeCa, connect: Connect, reason: RevocationReason) -> None:
    """R39: by account key, `kid` in the header."""
    steps = await Steps.prepare(fake, connect)
    leaf = steps.chains.default.leaf
    await steps.ca.revoke(leaf, reason)
    assert fake.state.revoked == {leaf: reason.value}
    sent = fake.last("revokeCert").protected
    assert sent is not None
    assert "kid" in sent


async def test_the_certificates_own_key_revokes_without_an_account(fake: FakeCa, connect: Connect) -> None:
    """R39, R7: `jwk` of the certificate's key; for a key found on the net."""
    steps = await Steps.prepare(fake, connect)
    leaf = steps.chains.default.leaf
    stranger = await connect(registered=False)
    await stranger.revoke_with_certificate_key(CERTIFICATE_KEY, leaf, RevocationReason.KEY_COMPROMISE)
    assert fake.state.revoked == {leaf: 1}
    sent = fake.last("revokeCert").protected
    assert sent is not None
    assert "kid" not in sent


async def test_a_certificate_that_is_revoked_already_is_a_success(fake: FakeCa, connect: Connect) -> None:
    """R39: safe to repeat."""
    steps = await Steps.prepare(fake, connect)
    for _ in range(2):
        await steps.ca.revoke(steps.chains.default.leaf)
    assert fake.count("revokeCert") == 2


async def test_a_wrong_key_is_refused(fake: FakeCa, connect: Connect) -> None:
    """R39: unauthorized."""
    steps = await Steps.prepare(fake, connect)
    with pytest.raises(CaRefused) as caught:
        await steps.ca.revoke_with_certificate_key(FakeKey.make(), steps.chains.default.leaf)
    assert caught.value.problem.kind == "unauthorized"


async def test_a_reason_the_ca_does_not_take_is_for_the_configuration(fake: FakeCa, connect: Connect) -> None:
    """R39: badRevocationReason, once."""
    steps = await Steps.prepare(fake, connect)
    fake.next("revokeCert", problem("badRevocationReason", 400))
    with pytest.raises(CaRefused) as caught:
        await steps.ca.revoke(steps.chains.default.leaf, RevocationReason.AFFILIATION_CHANGED)
    assert caught.value.problem.reaction is Reaction.CONFIGURATION
    assert fake.count("revokeCert") == 1


def test_a_reason_known_to_be_refused_is_not_sent() -> None:
    """R39: Boulder takes 0, 1, 4, 5."""
    with pytest.raises(ConfigError, match="affiliation-changed") as caught:
        revocation(b"x", RevocationReason.AFFILIATION_CHANGED, quirks_of("acme-v02.api.letsencrypt.org"))
    assert "key-compromise" in caught.value.hint


async def test_an_empty_201_is_a_success_too(fake: FakeCa, connect: Connect) -> None:
    """§7.6 says 200 and no body; nothing of the body is read."""
    steps = await Steps.prepare(fake, connect)
    fake.next("revokeCert", status(201))
    await steps.ca.revoke(steps.chains.default.leaf)
