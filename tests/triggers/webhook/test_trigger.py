"""WebhookTrigger as it is made: options that can be right, and those that cannot."""

import sys
from datetime import timedelta

import pytest

from engine.errors import DefinitionError
from playhead import Engine, Workflow, step
from triggers.webhook import WebhookTrigger, routes, webhooks


@step
def take(body: dict) -> dict:
    return body


taking = Workflow("taking", steps=[take])


def made(path="/hook", start=taking, **options):
    """Make a trigger with one good secret."""
    return WebhookTrigger(path, start, **{"secrets": ["whsec_c2VjcmV0"], **options})


def engine_of(*triggers):
    return Engine("sqlite:///:memory:", workflows=[taking], triggers=triggers)


def test_its_name_says_path_and_workflow():
    """By default `webhook:PATH:WORKFLOW`; `name=` gives it another."""
    assert made().name == "webhook:/hook:taking"
    assert made(name="shop").name == "shop"
    assert (made().kind, made().workflow, made().hears) == ("webhook", "taking", None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"path": "hook"}, "begins with '/'"),
        ({"path": None}, "begins with '/'"),
        ({"path": "/a b"}, "no plain path"),
        ({"path": "/a/{id}"}, "no plain path"),
        ({"path": "/a?b=c"}, "no plain path"),
        ({"path": "/a//b"}, "no plain path"),
        ({"path": "/a/../b"}, "no plain path"),
        ({"path": "/é"}, "no plain path"),
        ({"secrets": []}, "everybody could start runs"),
        ({"secrets": "whsec_c2VjcmV0"}, "secrets= is a list"),
        ({"secrets": None}, "secrets= is a list"),
        ({"secrets": {"whsec_c2VjcmV0"}}, "secrets= is a list"),
        ({"secrets": [None]}, "is its environment variable set"),
        ({"secrets": ["nonsense!"]}, "no Standard Webhooks secret"),
        ({"scheme": "gitlab"}, "scheme='gitlab' is none of 'standard', 'github'"),
        ({"scheme": ["github"]}, "is none of"),
        ({"scheme": "github", "header": "X-Sig"}, "header= is for scheme='hmac'"),
        ({"scheme": "github", "digest": "sha512"}, "digest= is for scheme='hmac'"),
        ({"scheme": "hmac", "header": ""}, "header='X-Signature'"),
        ({"scheme": "hmac", "header": "X Sig"}, "no name of a header"),
        ({"scheme": "hmac", "header": "X-Sig", "id_header": ""}, "id_header='' is no name"),
        ({"scheme": "hmac", "header": "X-Sig", "encoding": "utf"}, "'hex', 'base64'"),
        ({"scheme": "hmac", "header": "X-Sig", "digest": "md5"}, "'sha1', 'sha256'"),
        ({"scheme": "hmac", "header": "X-Sig", "prefix": None}, "prefix=None"),
        ({"limit": 0}, "limit=0"),
        ({"limit": True}, "limit=True"),
        ({"limit": 1e6}, "limit="),
        ({"tolerance": 0}, "tolerance=0"),
        ({"tolerance": "5m"}, "tolerance='5m'"),
        ({"start": 7}, "starts a workflow"),
        ({"name": ""}, "name is a text"),
        ({"input": "body"}, "input= is a function"),
    ],
)
def test_an_option_that_cannot_be_right_is_refused(options, says):
    """The error says what to write, and at which line."""
    with pytest.raises(DefinitionError, match=says) as error:
        made(**options)
    assert "test_trigger.py:" in str(error.value)
    assert "c2VjcmV0" not in str(error.value)


@pytest.mark.parametrize("path", ["/", "/a", "/a/", "/a-b_c.d~e/f", "/v1/hooks/@me"])
def test_a_plain_path_is_taken(path):
    """Whatever a URL's path may hold without being escaped."""
    assert made(path).path == path


def test_the_revision_holds_no_secret():
    """A changed secret is the same trigger; another limit, tolerance or header is a new one."""
    base = made()
    assert made(secrets=["whsec_b3RoZXI=", "whsec_c2VjcmV0"]).revision() == base.revision()
    assert "c2VjcmV0" not in base.revision()
    for options in ({"limit": 7}, {"tolerance": 7}, {"path": "/b"}, {"scheme": "stripe"}):
        assert made(**options).revision() != base.revision()
    first, second = (made(scheme="hmac", header=name) for name in ("X-A", "X-B"))
    assert first.revision() != second.revision()
    assert made(tolerance=timedelta(minutes=5)).revision() == base.revision()


def test_a_workflow_of_several_inputs_wants_a_mapping():
    """The error shows how: the body is the obvious one."""
    two = Workflow("two", steps=[step(lambda a, b: [a, b], name="both")])
    with pytest.raises(DefinitionError, match=r"firing\.facts\['body'\]"):
        made(start=two)


def test_two_triggers_of_one_path_are_refused():
    """Nobody could say which of them answers."""
    one = made(name="one")
    other = made(name="other", scheme="github")
    with pytest.raises(DefinitionError, match="'one' and 'other' have one path, '/hook'"):
        routes(engine_of(one, other))


def test_each_trigger_has_a_route():
    """In the order of the triggers; other kinds of triggers have none."""
    found = routes(engine_of(made(), made("/b")))
    assert [(route.path, route.methods) for route in found] == [
        ("/hook", {"POST"}), ("/b", {"POST"}),
    ]  # fmt: skip
    assert routes(engine_of()) == []


@pytest.mark.parametrize("ask", [routes, webhooks])
def test_without_starlette_the_error_names_the_command(ask, monkeypatch):
    """The trigger itself can be made without; only the app needs it."""
    monkeypatch.setitem(sys.modules, "starlette.routing", None)
    engine = engine_of(made())
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'playhead\[web\]'"):
        ask(engine)


def test_a_poll_arms_it_and_no_more():
    """It is in the lists of triggers before anything was delivered."""
    engine = engine_of(made())
    engine.run_until_idle()
    engine.run_until_idle()
    (event,) = engine.log.read("trigger:webhook:/hook:taking")
    assert event.type == "trigger.armed"
    assert engine.next_due() is None
