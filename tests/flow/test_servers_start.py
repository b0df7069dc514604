"""Each server starts, answers as what it is, can be told things, and leaves no process (a fixture here looks)."""

import aiohttp
import dns.asyncquery
import dns.message
import dns.rcode
import dns.tsig
import dns.update
import pytest
from cryptography import x509

from tests.flow.conftest import StartBind, StartOpenBao, StartPebble, StartStepCa
from tests.servers.bind import Bind, BindOptions, TsigKey, new_key
from tests.servers.openbao import OpenBao, OpenBaoOptions
from tests.servers.pebble import Flavour, Pebble, PebbleOptions
from tests.servers.step_ca import StepCa


async def _directory(ca: Pebble | OpenBao | StepCa) -> dict[str, object]:
    async with aiohttp.ClientSession() as http, http.get(ca.directory_url, ssl=ca.trust()) as reply:
        found: dict[str, object] = await reply.json()
        return found


async def _txt(server: str, name: str) -> list[str]:
    address, _, port = server.rpartition(":")
    reply = await dns.asyncquery.udp(dns.message.make_query(name, "TXT"), address, port=int(port), timeout=5)
    return sorted(text.decode() for rrset in reply.answer for rdata in rrset for text in rdata.strings)


async def test_current_pebble_has_renewal_info_one_profile_and_as_many_roots_as_asked(
    start_pebble: StartPebble,
) -> None:
    ca = await start_pebble(PebbleOptions(alternate_roots=2, chain_length=2, eab_keys={"kid-1": "c2VjcmV0" * 6}))
    directory = await _directory(ca)
    meta = directory["meta"]
    assert "renewalInfo" in directory
    assert isinstance(meta, dict)
    assert list(meta["profiles"]) == ["default"]
    assert meta["externalAccountRequired"] is True
    roots = [x509.load_pem_x509_certificate(each.encode()) for each in await ca.roots()]
    assert (
        len({each.fingerprint(each.signature_hash_algorithm) for each in roots if each.signature_hash_algorithm}) == 3
    )


async def test_debians_pebble_has_neither_renewal_info_nor_profiles(start_pebble: StartPebble) -> None:
    ca = await start_pebble(PebbleOptions(flavour=Flavour.DEBIAN))
    directory = await _directory(ca)
    assert "newOrder" in directory
    assert "renewalInfo" not in directory
    assert "profiles" not in str(directory["meta"])
    assert len(await ca.roots()) == 1


async def test_requests_are_counted_at_pebble_without_the_probe_that_waited_for_it(start_pebble: StartPebble) -> None:
    ca = await start_pebble()
    assert ca.requests() == []
    directory = await _directory(ca)
    async with aiohttp.ClientSession() as http:
        await http.head(str(directory["newNonce"]), ssl=ca.trust())
        await http.head(str(directory["newNonce"]), ssl=ca.trust())
    assert ca.requests() == [("GET", "directory"), ("HEAD", "newNonce"), ("HEAD", "newNonce")]
    assert ca.request_table() == {"directory": 1, "newNonce": 2}


@pytest.mark.parametrize("flavour", Flavour)
async def test_challtestsrv_serves_the_txt_values_it_is_told(start_pebble: StartPebble, flavour: Flavour) -> None:
    ca = await start_pebble(PebbleOptions(flavour=flavour))
    srv = ca.challtestsrv
    await srv.set_txt("_acme-challenge.a.test", "one")
    await srv.set_txt("_acme-challenge.a.test", "two")
    assert await _txt(srv.dns_server, "_acme-challenge.a.test") == ["one", "two"]
    await srv.clear_txt("_acme-challenge.a.test")
    assert await _txt(srv.dns_server, "_acme-challenge.a.test") == []
    assert len(await srv.dns_requests("_acme-challenge.a.test")) == 2


async def _update(server: Bind, key: TsigKey, record: tuple[str, str, str]) -> str:
    update = dns.update.UpdateMessage("example.test", keyring=key.of_dnspython())
    update.add(record[0], 60, record[1], record[2])
    reply = await dns.asyncquery.tcp(update, server.address, port=server.port, timeout=5)
    return dns.rcode.to_text(reply.rcode())


async def test_bind_lets_the_providers_key_change_what_the_policy_grants_and_nothing_else(
    start_bind: StartBind,
) -> None:
    server = await start_bind(BindOptions(records={"example.test": ["www A 127.0.0.1"]}))
    name = "_acme-challenge.www.example.test"
    await server.add(name, "TXT", '"somebody else\'s"')
    assert await _update(server, server.key, ("_acme-challenge.www", "TXT", '"ours"')) == "NOERROR"
    assert await _update(server, server.key, ("www", "A", "127.0.0.2")) == "REFUSED"
    assert await server.txt(name) == {"ours", "somebody else's"}
    await server.delete(name, "TXT", '"ours"')
    assert await server.contents("example.test") == {
        (name, "TXT", '"somebody else\'s"'),
        ("www.example.test", "A", "127.0.0.1"),
        ("ns1.example.test", "A", "127.0.0.1"),
    }


async def test_bind_refuses_a_key_of_the_right_name_with_another_secret(start_bind: StartBind) -> None:
    server = await start_bind()
    with pytest.raises(dns.tsig.PeerBadSignature):
        await _update(server, new_key(), ("_acme-challenge", "TXT", '"x"'))
    assert await server.txt("_acme-challenge.example.test") == set()


async def test_openbao_is_an_acme_server_that_asks_for_credentials_where_told(
    start_openbao: StartOpenBao, loopback_address: str
) -> None:
    ca = await start_openbao(OpenBaoOptions(challenge_address=loopback_address, eab_required=True))
    directory = await _directory(ca)
    assert {"newNonce", "newAccount", "newOrder", "revokeCert"} <= directory.keys()
    assert str(directory["newOrder"]).startswith(ca.directory_url.removesuffix("/directory"))
    assert directory["meta"] == {"externalAccountRequired": True}
    credentials = await ca.new_eab()
    assert credentials.kid
    assert credentials.key not in repr(credentials)
    assert x509.load_pem_x509_certificate(ca.root.encode()).subject.rfc4514_string() == "CN=OpenBao test root"


async def test_step_ca_is_an_acme_server(start_step_ca: StartStepCa) -> None:
    ca = await start_step_ca()
    assert {"newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"} <= (await _directory(ca)).keys()
