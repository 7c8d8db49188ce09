"""What wakes the engine: files in a folder, clocks, webhooks, ends of runs."""

from triggers.clocks import AtTrigger, CronTrigger, IntervalTrigger
from triggers.files.trigger import FileTrigger
from triggers.firing import Firing, signal
from triggers.later import ObjectTrigger, QueueTrigger
from triggers.runs import RunTrigger
from triggers.webhook import WebhookTrigger, webhooks

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
    "webhooks",
]
