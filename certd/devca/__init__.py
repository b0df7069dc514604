"""devca: a small, strict ACME CA (RFC 8555) for demo, tests and labs. It is not a production CA.

It issues only for names under .test, .localhost, .internal and .home.arpa and for loopback addresses, listens on
loopback only, and its root says "not trusted". It shares no code with the rest of certd, acme or josepy: standard
library, aiohttp, cryptography and dnspython only, so that it cannot share their mistakes.

    async with DevCa.start(Options(http_port=5002)) as ca:
        ca.directory_url, ca.root_pem, ca.root_path
"""

from certd.devca.options import Options
from certd.devca.server import DevCa

__all__ = ["DevCa", "Options"]
