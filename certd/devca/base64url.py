"""base64url without padding, to the letter.

RFC 8555 §6.1: "Encoded values that include trailing '=' characters MUST be rejected as improperly encoded"; so are
other alphabets, blanks and left-over bits.
"""

import base64
import binascii


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The octets of *text*. Raises ValueError that says what is wrong with it."""
    if "=" in text:
        raise ValueError("base64url with trailing '=' (RFC 8555 §6.1)")
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"not base64url: {error}") from None
    # Python accepts '+' and '/' beside the altchars, and bits left over in the last character.
    if encode(data) != text:
        raise ValueError("not base64url as RFC 4648 §5 writes it")
    return data
