"""What a CA does to an order that is going well; faults for `HellCa.fault`."""

import asyncio
import json
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler

from certd.devca.records import AuthorizationStatus, ChallengeStatus
from tests.hellca.faults import Fault, edit_body, reply
from tests.hellca.hell import HellCa

ERROR = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "the proof is not there", "status": 403}


def not_proven(hell: HellCa) -> Fault:
    """The challenge is answered, and the CA does not see the proof: authorization and order become invalid."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del ended
        answer = await handler(request)
        store = hell.ca._authority.store
        found = store.authorization_of(request.path.rpartition("/")[2])
        assert found is not None
        challenges = tuple(replace(each, status=ChallengeStatus.INVALID, error=ERROR) for each in found.challenges)
        store.put(replace(found, status=AuthorizationStatus.INVALID, challenges=challenges))
        return answer

    return fault


def dragged_on() -> Fault:
    """The challenge is answered, and the CA takes its time: the authorization stays pending."""
    return reply(200, json.dumps({"status": "processing"}).encode())


def odd_chain() -> Fault:
    """Without its leaf."""
    end = b"-----END CERTIFICATE-----\n"
    return edit_body(lambda body: body.partition(end)[2])


def held(came: asyncio.Event, until: asyncio.Event) -> Fault:
    """Sets *came*, and lets the CA see the request once *until* is set."""

    async def fault(request: web.Request, handler: Handler, ended: asyncio.Event) -> web.StreamResponse:
        del ended
        came.set()
        await until.wait()
        return await handler(request)

    return fault
