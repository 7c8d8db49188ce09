"""What wakes the engine: files in a folder, cron texts, intervals, moments, ends of runs."""

from triggers.clocks import AtTrigger, CronTrigger, IntervalTrigger
from triggers.files.trigger import FileTrigger
from triggers.firing import Firing, signal
from triggers.later import ObjectTrigger, QueueTrigger, WebhookTrigger
from triggers.runs import RunTrigger

__all__ = [
    "AtTrigger",
    "CronTrigger",
    "FileTrigger",
    "Firing",
    "IntervalTrigger",
    "ObjectTrigger",
    "QueueTrigger",
    "RunTrigger",
    "WebhookTrigger",
    "signal",
]
