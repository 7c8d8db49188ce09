"""WebhookTrigger: each HTTP request that is signed right starts one run.

Laws of this file: nothing is parsed before its signature holds; nothing is answered with 2xx
before it is committed; who cannot sign learns nothing, and writes next to nothing.
"""

import datetime
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import msgspec

from engine.errors import StorageError
from engine.triggering import Door
from engine.triggering import Firing as Letter
from engine.triggerstream import DoorShut
from eventstore import clock
from eventstore.errors import LogError, StorageBusy
from triggers.durations import microseconds
from triggers.errors import wrong
from triggers.firing import Mapper
from triggers.schedule import text_of
from triggers.start import Declined, Start, name_of, revision_of
from triggers.webhook import delivery, options, schemes
from triggers.webhook.schemes import Headers

LIMIT = 1_048_576  # bytes of a body
AGAIN_SOON, AGAIN_LATER = 5, 60  # seconds after which the sender may try again
PATIENCE = 5.0  # real seconds for those before; the first of them may wait longer for the disk


class Answer(msgspec.Struct, frozen=True):
    """What the sender is told."""

    status: int
    told: dict[str, Any]
    headers: dict[str, str] = {}


class WebhookTrigger:
    """Starts a run for each HTTP request to a path that is signed by one of the secrets.

    A delivery counts once, by the id that its sender has signed, else by its bytes. It is answered
    with 202 and the run's id when the run is in the log, and with 200 and the same id when it
    comes again. `firing.facts` are `body` and `headers`. The body is plain JSON values if its
    content type says JSON (or if there is none and it can be read as such), else text if it is
    UTF-8, else bytes (in the log: base64 text). A workflow's only input that is annotated `str` or
    `bytes` gets the raw body instead. Headers have names in small letters, and those that prove
    or open something are blotted out. `webhooks(engine)` is the ASGI app that listens.
    """

    kind = "webhook"
    hears: str | None = None

    def __init__(
        self,
        path: str,
        start: Any,
        scheme: str = "standard",
        secrets: Sequence[str | bytes] = (),
        *,
        limit: int = LIMIT,
        tolerance: float | datetime.timedelta = 300,
        input: Mapper | None = None,  # noqa: A002 - the contract's word
        name: str | None = None,
        header: str | None = None,
        id_header: str | None = None,
        prefix: str = "",
        encoding: str = "hex",
        digest: str = "sha256",
    ) -> None:
        """Take a path, what it starts, and how senders sign.

        Args:
            path: of the URL, below where the app is mounted, e.g. "/hooks/github".
            start: a workflow or its name, or `signal(name, to=…)`.
            scheme: "standard" (Standard Webhooks), "github", "stripe", "slack", or "hmac" for a
                sender that signs its body in a way of its own.
            secrets: one or several; a delivery that is signed with any of them holds, so that a
                secret can be changed without losing one.
            limit: bytes that a body may have.
            tolerance: seconds or a timedelta; a time that is signed may lie so far from the
                engine's clock, to either side.
            input: makes the workflow's inputs of a firing; by default its one input is `body`.
            name: by default `webhook:PATH:WORKFLOW`.
            header: "hmac" only: where the signature stands, by default "X-Signature".
            id_header: "hmac" only: where the sender writes an id of the delivery. It is not
                signed: who has recorded a delivery can send it again under another id.
            prefix: "hmac" only: what stands before the signature, e.g. "sha256=".
            encoding: "hmac" only: "hex" or "base64".
            digest: "hmac" only: "sha1", "sha256", "sha384" or "sha512".

        Raises:
            DefinitionError: an option that cannot be right; no secret is ever told.
        """
        self.path = options.plain_path(path)
        if header is None and scheme == "hmac":
            header = options.HEADER
        own = {
            "header": header, "id_header": id_header, "prefix": prefix, "encoding": encoding,
            "digest": digest,
        }  # fmt: skip
        self.scheme = options.scheme_of(scheme, own)
        if isinstance(secrets, str | bytes) or not isinstance(secrets, Sequence):
            raise wrong('secrets= is a list, e.g. secrets=[os.environ["WEBHOOK_SECRET"]]')
        if not secrets:
            raise wrong(f"the trigger at {path!r} has no secrets=: everybody could start runs")
        self._secrets = [schemes.key_of_secret(self.scheme, one) for one in secrets]
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise wrong(f"limit={limit!r} is to be a whole number of bytes, 1 at least")
        self.limit = limit
        self._tolerance = microseconds("tolerance", tolerance)
        if self._tolerance <= 0:
            raise wrong(f"tolerance={tolerance!r} is to be more than nought")
        self._start = Start(start, input, fact="body")
        self._form: type | None = None
        self._is_mapped = input is not None
        self.workflow = self._start.workflow
        self.name = name_of(name, self.kind, path, self.workflow)
        # Without the secrets: a changed secret is no other trigger, and the log never sees one.
        self._revision = revision_of(
            kind=self.kind, workflow=self.workflow, path=path, scheme=scheme, limit=limit,
            tolerance=self._tolerance, **(own if scheme == "hmac" else {}),
        )  # fmt: skip
        self._armed: WeakSet[Door] = WeakSet()
        self._turn = threading.Lock()

    def check(self, workflows: Mapping[str, Any]) -> None:
        """Refuse a workflow that is not there or whose inputs nothing fills."""
        self._start.check(workflows)
        self._form = None
        code = getattr(workflows.get(self.workflow), "code", None)
        if code is not None and not self._is_mapped and self._start.into is not None:
            wanted = code.inputs.get(self._start.into)
            self._form = wanted if wanted in (bytes, str) else None

    def revision(self) -> str:
        """Give the options as text, without the secrets."""
        return self._revision

    def poll(self, door: Door, now: int) -> int | None:  # noqa: ARG002 - senders set the pace
        """Arm it, once; deliveries come when they come."""
        if door not in self._armed:
            door.state()
            self._armed.add(door)
        return None

    def ended(self, door: Door, now: int) -> int | None:  # noqa: ARG002 - it waits for no run
        """Do nothing: no run's end matters to it."""
        return None

    def open(self, door: Door) -> None:
        """Do nothing: `webhooks(engine)` listens."""

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def receive(self, door: Door, headers: Headers, body: bytes) -> Answer:
        """Take in one delivery. *Appends.* Blocks; from any thread.

        Args:
            headers: as they came.
            body: raw, within `limit`.

        Returns:
            What to tell the sender.
        """
        now = clock.now_us()
        try:
            return self._receive(door, headers, body, now)
        except (StorageError, LogError):
            return _again(AGAIN_SOON, "this could not be stored; send it again")

    def turn_away(self, door: Door, status: int, reason: str) -> Answer:
        """Answer a request whose body was not read to its end. *Appends.*"""
        try:
            self._decline(door, reason)
        except (StorageError, LogError):
            return _again(AGAIN_SOON, "this could not be stored; send it again")
        return (
            Answer(status, {"error": reason}) if status != 503 else _again(AGAIN_SOON, reason)
        )

    def _receive(self, door: Door, headers: Headers, body: bytes, now: int) -> Answer:
        proof = schemes.verify(
            self.scheme, self._secrets, headers, body, now=now, tolerance=self._tolerance
        )
        if isinstance(proof, schemes.Refused):
            self._decline(door, proof.reason)
            return Answer(401, {"error": "not signed as it has to be"})
        challenge = delivery.challenge(self.scheme, body)
        if challenge is not None:
            return Answer(200, {"challenge": challenge})
        key = delivery.key(self.scheme, proof, headers, body) or clock.new_id()
        at = now if proof.at is None else proof.at
        try:
            value = delivery.content(headers, body, self._form)
        except delivery.Unreadable as error:
            unread = Letter(self.name, key, at, {"error": str(error)})
            with self._in_turn():
                door.decline(unread, "the body cannot be read", repeats=True)
            return Answer(400, {"error": str(error)})
        facts = {"body": value, "headers": delivery.shown(self.scheme, headers)}
        with self._in_turn():
            return self._fire(door, Letter(self.name, key, at, facts))

    def _fire(self, door: Door, letter: Letter) -> Answer:
        try:
            fired = self._start.fire(door, letter)
        except DoorShut as shut:
            door.decline(letter, shut.state, repeats=True)
            return _again(AGAIN_LATER, "this starts nothing at present; send it again later")
        if isinstance(fired, Declined):
            # What a user's own code has raised is not for the sender.
            reason = fired.reason if fired.error is not None else "no run can be made of this"
            return Answer(422, {"error": reason})
        if fired.duplicate:
            known = msgspec.structs.replace(letter, facts={"run": fired.run})
            door.decline(known, "duplicate", repeats=True)
        status = 200 if fired.duplicate else 202
        return Answer(status, {"run": fired.run, "duplicate": fired.duplicate})

    def _decline(self, door: Door, reason: str) -> None:
        """Tell the log of what nobody has signed: by its moment, for it has no key of its own."""
        now = clock.now_us()
        letter = Letter(self.name, f"unsigned@{text_of(now)}", now, {})
        with self._in_turn():
            door.decline(letter, reason, repeats=True)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Wait for those before: a door lets in one at a time, and each may wait for the disk.

        Raises:
            StorageBusy: it took too long; each in the row would wait as long as all before it.
        """
        if not self._turn.acquire(timeout=PATIENCE):
            raise StorageBusy(f"deliveries of {self.name!r} queue for more than {PATIENCE:g} s")
        try:
            yield
        finally:
            self._turn.release()


def _again(seconds: int, why: str) -> Answer:
    return Answer(503, {"error": why}, {"retry-after": str(seconds)})
