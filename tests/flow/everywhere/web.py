"""Somebody's web server, which has the port that the CA comes to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler


@asynccontextmanager
async def web_server(webroot: Path, address: str) -> AsyncIterator[list[str]]:
    """Serves *webroot* at *address*, HOST:PORT; the paths that were asked for."""
    asked: list[str] = []

    @web.middleware
    async def remember(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked.append(request.path)
        return await handler(request)

    application = web.Application(middlewares=[remember])
    application.router.add_static("/", webroot)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    try:
        await web.TCPSite(runner, host, int(port)).start()
        yield asked
    finally:
        await runner.cleanup()
