"""The conversation with an ACME CA (RFC 8555, RFC 9773): one account at one directory, one method a request.

Imports certd.model only. `wire` is the one file in certd that knows acme and josepy. `client` is what others open.
"""
