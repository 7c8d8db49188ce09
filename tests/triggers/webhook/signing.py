"""The sender's half of each scheme, written down a second time: what tests sign with."""

import base64
import datetime
import hashlib
import hmac

from standardwebhooks import Webhook

SECRETS = {
    "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "github": "It's a Secret to Everybody",
    "stripe": "whsec_stripe takes its prefix along",
    "slack": "8f742231b10e8888abcd99yyyzzz85a5",
    "hmac": "plain",
}


def mac(secret, content, digest="sha256"):
    """Give a HMAC in hex."""
    return hmac.new(secret.encode(), content, digest).hexdigest()


def standard(body, *, secret=SECRETS["standard"], msg="msg_1", at=0):
    """Sign with the official client."""
    when = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return {
        "webhook-id": msg,
        "webhook-timestamp": str(at),
        "webhook-signature": Webhook(secret).sign(msg, when, body.decode()),
    }


def github(body, *, secret=SECRETS["github"], event="push", delivery="1"):
    """Sign as GitHub does: the body alone."""
    return {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={mac(secret, body)}",
    }


def stripe(body, *, secret=SECRETS["stripe"], at=0):
    """Sign as Stripe does: time and body, both in one header, beside an older signature."""
    signature = mac(secret, b"%d.%b" % (at, body))
    return {"Stripe-Signature": f"t={at},v1={signature},v0={'0' * 64}"}


def slack(body, *, secret=SECRETS["slack"], at=0):
    """Sign as Slack does: version, time and body."""
    return {
        "X-Slack-Request-Timestamp": str(at),
        "X-Slack-Signature": f"v0={mac(secret, b'v0:%d:%b' % (at, body))}",
    }


def plain(body, *, secret=SECRETS["hmac"], header="X-Signature", **more):
    """Sign the body alone, in hex."""
    return {header: mac(secret, body), **more}


def in_base64(body, *, secret=SECRETS["hmac"], header="X-Signature"):
    """Sign the body alone, in base64 with a SHA-512."""
    signed = hmac.new(secret.encode(), body, hashlib.sha512).digest()
    return {header: base64.b64encode(signed).decode()}


SIGN = {
    "standard": standard, "github": github, "stripe": stripe, "slack": slack, "hmac": plain,
}  # fmt: skip


def signed(scheme, body, at, **options):
    """Give the headers of a delivery that is signed right."""
    timed = {"at": at} if scheme in ("standard", "stripe", "slack") else {}
    return SIGN[scheme](body, **timed, **options)


def raw(headers):
    """Give headers as a server hands them on: pairs of bytes, names in small letters."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
