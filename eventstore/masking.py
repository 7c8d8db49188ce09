"""Urls as people may see them: in messages, lists and log lines, never with a password."""

import re

HIDDEN = "***"
_SECRET = re.compile(r"([?&][^=&]*(?:password|passwd|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)
_WRITTEN = re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s:/@]*):(?!password@)\S*@", re.IGNORECASE)
_FILES = ("sqlite", "memory")  # theirs name a file, which may be called anything


def masked(url: str) -> str:
    """Give a url without its secrets, whether or not it can be read. *Pure.*

    A password is written without its reserved characters escaped more often than not; so all
    that stands before the last `@` is taken for user and password.
    """
    scheme, colon, rest = url.partition("://")
    if not colon:
        scheme, rest = "", url
    if scheme.partition("+")[0] in _FILES:
        return url
    before, at, behind = rest.rpartition("@")
    user, has_password, _ = before.partition(":")
    if at and has_password:
        rest = f"{user}:{HIDDEN}@{behind}"
    return _SECRET.sub(rf"\1{HIDDEN}", scheme + colon + rest)


def masked_words(text: str) -> str:
    """Give text without the passwords of the urls that are quoted in it. *Pure.*

    What a user wrote in a wrong place is quoted in the refusal, whatever it was.
    """
    shown = _WRITTEN.sub(rf"\1:{HIDDEN}@", text)
    if "://" not in shown:
        return shown
    return re.sub(r"\S+://\S+", lambda url: _SECRET.sub(rf"\1{HIDDEN}", url[0]), shown)
