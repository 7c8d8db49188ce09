"""A daemon: a watched folder and a clock.

playhead serve examples/05_daemon/app.py --http 127.0.0.1:8725

Log, inbox and reports lie in $STATE_DIRECTORY, which systemd sets and the Containerfile too; else
in the folder where it is started.
"""

import os
from datetime import datetime
from pathlib import Path

from playhead import CronTrigger, Engine, FileTrigger, Workflow, step

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


words = Workflow("words", steps=[count])
daily = Workflow("daily", steps=[report])
engine = Engine(
    f"sqlite:///{HOME / 'playhead.db'}",
    workflows=[words, daily],
    triggers=[
        FileTrigger(INBOX / "*.txt", words, name="inbox"),
        CronTrigger("0 6 * * *", daily, tz="Europe/Paris", name="every-morning"),
    ],
    grace=GRACE,
)
