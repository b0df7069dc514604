"""What goes wrong, for real: each function makes one cause and returns the command line that meets it."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from certd.files.state_dir import StateLock
from tests.flow.scene import Scene, here
from tests.hellca.faults import problem, reply
from tests.servers.bind import new_key
from tests.servers.certificates import new_root, new_server

MAC_KEY = bytes(range(32))


def nobody_listens(s: Scene) -> Sequence[str]:
    return s.issue("--server", f"https://127.0.0.1:{s.free_port()}/dir", "--http-address", "127.0.0.1:0")


def no_tls_there(s: Scene) -> Sequence[str]:
    web = s.nginx("server { listen 127.0.0.1:@PORT@; }")
    return s.issue("--server", f"https://{web.address}/dir", "--http-address", "127.0.0.1:0")


def another_kind_of_server(s: Scene) -> Sequence[str]:
    """TLS and trusted, but a web site: the path of the directory was left out or mistyped."""
    root = new_root("a site's root")
    certificate, key = new_server(root).write(s.folder, "site")
    trust, _ = root.write(s.folder, "site-root")
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    web = s.nginx(f"server {{ listen 127.0.0.1:@PORT@; }} server {{ listen 127.0.0.1:@TLS@ ssl; {tls} }}")
    trusted = ("--ca-bundle", str(trust), "--http-address", "127.0.0.1:0")
    return s.issue("--server", f"https://{web.tls}/dir", *trusted)


def the_port_is_taken(s: Scene) -> Sequence[str]:
    web = s.nginx("server { listen 127.0.0.1:@PORT@; }")
    return s.at(s.hell(), "--http-address", str(web.address))


def another_server_answers(s: Scene) -> Sequence[str]:
    """The commonest mistake behind a proxy: port 80 is the web server's, and it does not forward."""
    web = s.nginx("server { listen 127.0.0.1:@PORT@; }")
    return s.at(s.hell(http_port=web.address.port), "--http-address", "127.0.0.1:0")


def nothing_answers(s: Scene) -> Sequence[str]:
    return s.at(s.hell(http_port=s.free_port()), "--http-address", "127.0.0.1:0")


def untrusted(s: Scene) -> Sequence[str]:
    return s.issue("--server", s.hell().directory_url, "--http-address", "127.0.0.1:0")


def without_terms(s: Scene) -> Sequence[str]:
    hell = s.hell()
    trusted = ("--server", hell.directory_url, "--ca-bundle", str(hell.ca.root_path))
    return s.issue(*trusted, "--http-address", "127.0.0.1:0")


def without_binding(s: Scene) -> Sequence[str]:
    return s.at(s.hell(eab_keys={"kid-1": MAC_KEY}))


def bound_by_another_key(s: Scene) -> Sequence[str]:
    secret = s.folder / "eab"
    secret.touch(mode=0o600)
    secret.write_bytes(base64.urlsafe_b64encode(b"another key than the CA's, 32 B.."))
    return s.at(s.hell(eab_keys={"kid-1": MAC_KEY}), "--eab-kid", "kid-1", "--eab-hmac-key", f"file:{secret}")


def signed_by_another_tsig_key(s: Scene) -> Sequence[str]:
    dns, secret = s.bind(), s.folder / "tsig"
    secret.touch(mode=0o600)
    secret.write_text(new_key().secret)
    options = (f"server={dns.server}", f"key_name={dns.key.name}", f"key_secret=file:{secret}")
    return (
        *s.at(s.hell(), "--dns", "rfc2136", "--dns-resolver", dns.server, "--dns-server", f"test={dns.server}"),
        *(text for option in options for text in ("--dns-option", option)),
    )


def limited(s: Scene, route: str) -> Sequence[str]:
    hell = s.hell()
    hell.always(route, problem("rateLimited", status=429, detail="too many of these", retry_after="3600"))
    return s.at(hell)


def out_of_order(s: Scene) -> Sequence[str]:
    hell = s.hell()
    hell.always("new-order", reply(503, b"<html>maintenance</html>", content_type="text/html"))
    return s.at(hell)


def new_terms(s: Scene) -> Sequence[str]:
    hell = s.hell()
    instance = "https://ca.example/agree?id=7"
    fault = problem("userActionRequired", status=403, detail="the terms have changed", instance=instance)
    hell.always("new-order", fault)
    return s.at(hell)


def deactivated(s: Scene) -> Sequence[str]:
    hell = s.hell()
    place = (*here(hell)[:4], "--state-dir", str(s.state))
    assert s.certd("account", "register", "--agree-tos", *place).status == 0
    assert s.certd("account", "deactivate", "--yes", *place).status == 0
    return s.at(hell)


def held(s: Scene) -> Sequence[str]:
    s.state.mkdir(mode=0o700)
    lock = StateLock(s.state, "certd run")
    assert lock.try_acquire()
    s.hold(released(lock))
    return s.at(s.hell(), "--wait", "0")


@contextmanager
def released(lock: StateLock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.release()


def open_to_others(s: Scene) -> Sequence[str]:
    s.state.mkdir()
    s.state.chmod(0o777)
    return s.at(s.hell())


def below_a_file(s: Scene) -> Sequence[str]:
    (s.folder / "file").write_text("")
    return s.at(s.hell(), "--state-dir", str(s.folder / "file" / "state"))


def a_file_for_copies(s: Scene) -> Sequence[str]:
    (s.folder / "out").write_text("")
    return s.at(s.hell(), "--out", str(s.folder / "out"))
