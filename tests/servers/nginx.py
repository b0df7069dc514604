"""nginx, as it stands on most hosts before certd comes: it holds port 80, serves files, passes things on.

Its configuration is the test's: what goes into `http { … }` and `stream { … }` (Debian: libnginx-mod-stream), with
`@PORT@` and `@TLS@` for two free ports of 127.0.0.1, and `@FOLDER@` for where its files are.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from certd.listen.addresses import BoundAddress
from tests.servers.process import LOOPBACK, Program, Running, enter_on_free_ports, free_ports, running
from tests.servers.requirement import Missing, program, require

STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
# "user root": the workers of a master that is root read the test's folders, which are root's alone.
FRAME = """\
daemon off;
user root;
worker_processes 2;
pid @FOLDER@/nginx.pid;
error_log stderr;
@MODULES@
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path @FOLDER@/body;
    proxy_temp_path @FOLDER@/proxy;
    fastcgi_temp_path @FOLDER@/fastcgi;
    uwsgi_temp_path @FOLDER@/uwsgi;
    scgi_temp_path @FOLDER@/scgi;
@HTTP@
}
@MORE@
"""


@dataclass(frozen=True, slots=True)
class NginxOptions:
    """`http`: inside that block. `more`: beside it, as a stream block."""

    http: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running one; `address` is @PORT@'s, `tls` is @TLS@'s."""

    address: BoundAddress
    tls: BoundAddress
    running: Running


def stream_module() -> Path | Missing:
    return STREAM if STREAM.exists() else Missing("nginx has no stream module (Debian package libnginx-mod-stream)")


@asynccontextmanager
async def nginx(folder: Path, options: NginxOptions) -> AsyncIterator[Nginx]:
    """Run nginx with its files in *folder*; skips the test (or fails it) where it is not installed."""
    binary = require(program("nginx", "nginx-light"))
    modules = f"load_module {require(stream_module())};" if options.more else ""
    async with AsyncExitStack() as stack:
        yield await enter_on_free_ports(stack, lambda: _on_free_ports(binary, folder, options, modules))


@asynccontextmanager
async def _on_free_ports(binary: Path, folder: Path, options: NginxOptions, modules: str) -> AsyncIterator[Nginx]:
    port, tls = free_ports(2)
    text = FRAME.replace("@MODULES@", modules).replace("@HTTP@", options.http).replace("@MORE@", options.more)
    for name, value in (("@PORT@", port), ("@TLS@", tls), ("@FOLDER@", folder)):
        text = text.replace(name, str(value))
    configuration = folder / f"nginx-{port}.conf"
    configuration.write_text(text)
    argv = [str(binary), "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
    started = Program("nginx", argv, folder / f"nginx-{port}.log")
    async with running(started, lambda: _accepts(port)) as server:
        yield Nginx(BoundAddress(LOOPBACK, port), BoundAddress(LOOPBACK, tls), server)


async def _accepts(port: int) -> bool:
    _, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.close()
    return True
