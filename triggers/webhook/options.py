"""Options of webhook triggers, held against what can be right. Pure."""

import re
from typing import Any

from triggers.errors import one_of, wrong
from triggers.webhook import schemes
from triggers.webhook.schemes import Scheme

HEADER = "X-Signature"  # where "hmac" looks for the signature, unless told otherwise


def plain_path(path: Any) -> str:
    """Give a path that a route can have. *Pure.*

    Raises:
        DefinitionError: it is none, or has parameters, a query or escapes.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise wrong(f"a webhook's path begins with '/', e.g. '/hooks/github', not {path!r}")
    if not re.fullmatch(r"(/[\w.~!$&'()*+,;=:@-]+)+/?|/", path, re.ASCII) or {".", ".."} & set(
        path.split("/")
    ):
        raise wrong(
            f"path={path!r} is no plain path of a URL; write letters, digits and -._~ between"
            " single slashes, without parameters, '?' or '%'"
        )
    return path


def scheme_of(scheme: Any, own: dict[str, Any]) -> Scheme:
    """Give the scheme of that name, or the user's own. *Pure.*

    Args:
        scheme: a name of the table, or "hmac".
        own: the options that "hmac" alone takes, by name.

    Raises:
        DefinitionError: an option that cannot be right.
    """
    if isinstance(scheme, str) and scheme in schemes.SCHEMES:
        default = {"encoding": "hex", "digest": "sha256"}
        odd = [key for key, value in own.items() if value and value != default.get(key)]
        if odd:
            raise wrong(f"{odd[0]}= is for scheme='hmac'; {scheme!r} has it fixed")
        return schemes.SCHEMES[scheme]
    one_of("scheme", scheme, (*schemes.SCHEMES, "hmac"))
    for option in ("header", "id_header"):
        value = own[option]
        if value is None and option == "id_header":
            continue
        if not isinstance(value, str) or not re.fullmatch(
            r"[\w!#$%&'*+.^`|~-]+", value, re.ASCII
        ):
            raise wrong(
                f"{option}={value!r} is no name of a header; scheme='hmac' wants e.g."
                f" {option}='X-Signature'"
            )
    one_of("encoding", own["encoding"], schemes.ENCODINGS)
    one_of("digest", own["digest"], tuple(schemes.DIGESTS))
    if not isinstance(own["prefix"], str):
        raise wrong(f"prefix={own['prefix']!r} is to be the text before the signature")
    return Scheme(
        header=own["header"].lower(), unsigned_id=(own["id_header"] or "").lower(),
        prefix=own["prefix"], encoding=own["encoding"], digest=own["digest"],
    )  # fmt: skip
