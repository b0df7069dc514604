"""The aiohttp application: routes, headers that every answer has, problems as documents. No rule of the CA is here.

Every route has a name (`new-order`, `renewal-info` …), which middleware reads at `request.match_info.route.name`.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from email.utils import format_datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler as RequestHandler
from aiohttp.typedefs import Middleware

from certd.devca import accounts, authorizations, certificates, orders
from certd.devca.authority import ROUTES, Authority, Post, Reply, link
from certd.devca.front import Incoming, authenticate, check_request
from certd.devca.problems import Problem, Refused, problem
from certd.devca.renewal_info import renewal_info

Handler = Callable[[Authority, Post], Reply]

POSTS: Mapping[str, Handler] = {
    "new-account": accounts.new_account,
    "account": accounts.account,
    "orders": accounts.orders,
    "key-change": accounts.key_change,
    "new-order": orders.new_order,
    "order": orders.order,
    "finalize": orders.finalize,
    "authorization": authorizations.authorization,
    "challenge": authorizations.challenge,
    "certificate": certificates.certificate,
    "revoke-cert": certificates.revoke_cert,
}
#: Routes whose path goes on with an id.
WITH_ID = frozenset(
    {"account", "orders", "order", "finalize", "authorization", "challenge", "certificate", "renewal-info"}
)
DIRECTORY = "/dir"
LARGEST_BODY = 256 * 1024
TERMS = "devca is a test CA. Its certificates prove nothing to anybody, and that is all there is to agree to.\n"
log = logging.getLogger(__name__)
NO_NONCE = frozenset({"directory", "renewal-info", "terms"})


def make_app(ca: Authority, middlewares: Iterable[Middleware] = ()) -> web.Application:
    """*middlewares* lie outside of everything here, the first one outermost."""
    app = web.Application(
        middlewares=[*map(_marked, middlewares), _marked(_manners(ca))],
        client_max_size=LARGEST_BODY,
    )
    app.router.add_route("GET", DIRECTORY, _directory(ca), name="directory")
    nonce = app.router.add_resource(ca.tags["new-nonce"], name="new-nonce")
    nonce.add_route("HEAD", _respond(lambda _: Reply(None)))
    nonce.add_route("GET", _respond(lambda _: Reply(None, 204)))
    app.router.add_route(
        "GET", ca.tags["terms"], _respond(lambda _: Reply(TERMS, content_type="text/plain")), name="terms"
    )
    window = _respond(lambda request: renewal_info(ca, request.match_info["id"]))
    app.router.add_route("GET", ca.tags["renewal-info"] + "/{id}", window, name="renewal-info")
    for name, handler in POSTS.items():
        path = ca.tags[name] + ("/{id}" if name in WITH_ID else "")
        app.router.add_route("POST", path, _post(ca, name, handler), name=name)
    alternate = ca.tags["certificate"] + "/{id}/{part}"
    app.router.add_route("POST", alternate, _post(ca, "certificate", POSTS["certificate"]), name="alternate")
    return app


def _directory(ca: Authority) -> RequestHandler:
    def answer(request: web.Request) -> Reply:
        base = f"https://{request.host}"
        routes = {_camel(each): ca.url(base, each) for each in ROUTES if each not in WITH_ID | {"terms"}}
        meta: dict[str, Any] = {
            "termsOfService": ca.options.terms_url or ca.url(base, "terms"),
            "externalAccountRequired": bool(ca.options.eab_keys),
            "profiles": {
                name: f"a test certificate that lives {lifetime.total_seconds():g} s"
                for name, lifetime in ca.options.profiles.items()
            },
        }
        found = routes | {"renewalInfo": ca.url(base, "renewal-info")} | ca.chaff()
        items = ca.shuffled(found.items())
        return Reply(dict(items) | {"meta": meta | ca.chaff()})

    return _respond(answer)


def _respond(answer: Callable[[web.Request], Reply]) -> RequestHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return _response(answer(request))

    return handle


def _post(ca: Authority, name: str, handler: Handler) -> RequestHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        incoming = Incoming(
            route=name,
            host=request.host,
            target=request.raw_path,
            id=request.match_info.get("id", ""),
            part=request.match_info.get("part", ""),
            query=request.query,
            headers=request.headers,
            body=await request.read(),
        )
        return _response(handler(ca, authenticate(ca, incoming)))

    return handle


def _manners(ca: Authority) -> Middleware:
    """A small delay, a nonce, and what every answer carries; whatever goes wrong becomes a problem document."""

    async def middleware(request: web.Request, handler: RequestHandler) -> web.StreamResponse:
        if ca.options.delay:
            await ca.sleep(ca.rng.uniform(0, ca.options.delay.total_seconds()))
        try:
            check_request(request.host, request.headers)
            response = await handler(request)
        except Refused as refusal:
            response = _problem_response(refusal.problem, refusal.headers)
        except web.HTTPException as error:
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            response = _problem_response(problem("malformed", error.reason, status=error.status), headers)
        except (ConnectionError, web.RequestPayloadError):
            raise  # the client went away
        except Exception:
            log.exception("a request failed in devca itself", extra={"path": request.path})
            response = _problem_response(problem("serverInternal", "devca failed, see its log"), {})
        route = request.match_info.route.name
        if route not in NO_NONCE or request.method == "POST":
            response.headers["Replay-Nonce"] = ca.nonces.issue()
        if route != "directory":
            response.headers.add(*link(f"https://{request.host}{DIRECTORY}", "index"))
        response.headers["Cache-Control"] = "public, max-age=0, no-cache, no-store"
        response.headers["Date"] = format_datetime(ca.now(), usegmt=True)
        return response

    return middleware


def _marked(middleware: Middleware) -> Middleware:
    """What aiohttp takes for a middleware: it looks for an attribute, which a bound method cannot have."""

    @web.middleware
    async def marked(request: web.Request, handler: RequestHandler) -> web.StreamResponse:
        return await middleware(request, handler)

    return marked


def _response(reply: Reply) -> web.Response:
    match reply.body:
        case None:
            response = web.Response(status=reply.status)
        case str():
            response = web.Response(text=reply.body, status=reply.status)
            response.headers["Content-Type"] = reply.content_type
        case _:
            response = web.json_response(reply.body, status=reply.status)
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response


def _problem_response(found: Problem, headers: Mapping[str, str]) -> web.Response:
    response = web.Response(text=json.dumps(found.document()), status=found.status, headers=headers)
    response.headers["Content-Type"] = "application/problem+json"
    return response


def _camel(route: str) -> str:
    first, *more = route.split("-")
    return first + "".join(each.capitalize() for each in more)
