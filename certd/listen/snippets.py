"""What to write into the server that already holds a port, so that certd can answer challenges behind it. Pure text.

Each form was tried with the server it is for (nginx in the flow tests; HAProxy 2.6, Apache 2.4 and Caddy 2.6 by hand).
The traps named in comments are those that make people's first try fail: redirects to https that win over the rule.
"""

from enum import Enum

from certd.listen.addresses import BoundAddress

#: Where certd listens when a server in front forwards to it; any free port will do.
BEHIND_HTTP = BoundAddress("127.0.0.1", 8402)
BEHIND_TLS = BoundAddress("127.0.0.1", 8403)


class Server(Enum):
    """Servers that certd has advice for; the value is what people call them."""

    NGINX = "nginx"
    APACHE = "Apache"
    HAPROXY = "HAProxy"
    CADDY = "Caddy"

    @property
    def serves_files(self) -> bool:
        """Whether a webroot is a way: HAProxy has none, and Caddy redirects to https unless told otherwise."""
        return self in {Server.NGINX, Server.APACHE}


_COMMANDS = {
    "nginx": Server.NGINX,
    "openresty": Server.NGINX,
    "angie": Server.NGINX,
    "apache2": Server.APACHE,
    "httpd": Server.APACHE,
    "haproxy": Server.HAPROXY,
    "caddy": Server.CADDY,
}

_HTTP = {
    Server.NGINX: """\
# in the server block for port 80; a `return` beside it wins over it: move that into `location / {{ … }}`
location ^~ /.well-known/acme-challenge/ {{
    proxy_pass http://{to};
}}""",
    Server.APACHE: """\
# in the VirtualHost for port 80, with mod_proxy_http (Debian: a2enmod proxy_http); a RewriteRule to https wins over it:
# put `RewriteCond %{{REQUEST_URI}} !^/\\.well-known/acme-challenge/` before that rule
ProxyPass "/.well-known/acme-challenge/" "http://{to}/.well-known/acme-challenge/\"""",
    Server.HAPROXY: """\
# in the frontend for port 80; a redirect to https wins over it:
# add `unless {{ path_beg /.well-known/acme-challenge/ }}` to it
    use_backend certd if {{ path_beg /.well-known/acme-challenge/ }}

backend certd
    mode http
    server certd {to}""",
    Server.CADDY: """\
# `http://` matters: without it Caddy redirects to https before it looks at the path
http://example.org {{
    handle /.well-known/acme-challenge/* {{
        reverse_proxy {to}
    }}
}}""",
}

_TLS = {
    Server.NGINX: """\
# beside http {{ … }}, and port 443 moves here: the http servers listen on 127.0.0.1:8443 instead
stream {{
    map $ssl_preread_alpn_protocols $behind {{
        "acme-tls/1" {to};
        default      127.0.0.1:8443;
    }}
    server {{
        listen 443;
        listen [::]:443;
        ssl_preread on;
        proxy_pass $behind;
    }}
}}""",
    Server.HAPROXY: """\
# port 443 moves to this frontend; yours listens on 127.0.0.1:8443 instead
frontend tls
    mode tcp
    bind :::443 v4v6
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend certd if {{ req.ssl_alpn acme-tls/1 }}
    default_backend service

backend certd
    mode tcp
    server certd {to}

backend service
    mode tcp
    server service 127.0.0.1:8443""",
}


def server_of(command: str) -> Server | None:
    """The server that a process's name stands for, if certd knows it."""
    return _COMMANDS.get(command)


def forward_http_01(server: Server, to: BoundAddress = BEHIND_HTTP) -> str:
    """Configuration with which *server* forwards http-01 requests, and only those, to *to*."""
    return _HTTP[server].format(to=to)


def forward_tls_alpn_01(server: Server, to: BoundAddress = BEHIND_TLS) -> str | None:
    """Configuration with which *server* hands tls-alpn-01 connections to *to* unopened; None where it cannot."""
    template = _TLS.get(server)
    return None if template is None else template.format(to=to)
