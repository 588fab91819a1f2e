"""E-mail addresses as we compare and keep them."""

import re

from alphintra.identity.errors import EmailInvalid

LENGTH_MAX = 254
_LOCAL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(rf"(?P<local>{_LOCAL})@{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def canonical(email: str) -> str:
    """Return the form in which addresses are compared: no surrounding blanks, lower case.

    Dots and `+tags` stay: whether they matter is the provider's affair, and guessing would hand one
    person's account to another.
    """
    return email.strip().lower()


def checked(email: str) -> str:
    """Return the canonical form of a usable address.

    Raises:
        EmailInvalid: not an ASCII address of a usable form and length.
    """
    address = canonical(email)
    match = _ADDRESS.fullmatch(address)
    # Asked of what was sent: the lower case of the Kelvin sign is an ASCII k.
    if (
        not email.isascii()
        or match is None
        or len(address) > LENGTH_MAX
        or len(match["local"]) > 64
    ):
        raise EmailInvalid("this is not an e-mail address that we can use")
    return address
