"""A daemon: a watched folder, a clock, and a webhook.

playhead serve examples/05_daemon/app.py --http 127.0.0.1:8725

Log, inbox and reports lie in $STATE_DIRECTORY, which systemd sets and the Containerfile too; else
in the folder where it is started. Letters come by a webhook if there is a secret that signs them.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from playhead import Context, CronTrigger, Engine, FileTrigger, WebhookTrigger, Workflow, step

HOME = Path(os.environ.get("STATE_DIRECTORY", ".")).resolve()
INBOX, REPORTS = HOME / "inbox", HOME / "reports"
GRACE = 30.0  # seconds for steps in flight; TimeoutStopSec in playhead.service is longer

for folder in (INBOX, REPORTS):
    folder.mkdir(exist_ok=True)


@step
def count(path: Path) -> int:
    """Count the words of a file that was dropped in."""
    return len(path.read_text("utf-8", "replace").split())


@step
def report(slot: datetime) -> str:
    """Write down what lies in the inbox, once for each day; a second time says the same."""
    names = sorted(file.name for file in INBOX.glob("*.txt"))
    page = REPORTS / f"{slot:%Y-%m-%d}.txt"
    page.write_text("\n".join(names) + "\n", "utf-8")
    return page.name


@step
def keep(body: dict[str, Any], ctx: Context) -> str:
    """Put a letter that was delivered into the inbox; a second time it is the same file."""
    path = INBOX / f"{ctx.run_id}.txt"
    path.write_text(str(body["text"]), "utf-8")
    return path.name


def secret() -> str:
    """Give what senders sign with: from the environment, or a credential of systemd."""
    kept = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/secrets"), "webhook-secret")
    told = os.environ.get("WEBHOOK_SECRET", "")
    return kept.read_text("utf-8").strip() if kept.is_file() else told


words = Workflow("words", steps=[count])
daily = Workflow("daily", steps=[report])
letters = Workflow("letters", steps=[keep])

triggers: list[Any] = [
    FileTrigger(INBOX / "*.txt", words, name="inbox"),
    CronTrigger("0 6 * * *", daily, tz="Europe/Paris", name="every-morning"),
]
if secret():
    triggers.append(
        WebhookTrigger("/hooks/letters", letters, secrets=[secret()], name="letters")
    )

engine = Engine(
    f"sqlite:///{HOME / 'playhead.db'}",
    workflows=[words, daily, letters],
    triggers=triggers,
    grace=GRACE,
)
