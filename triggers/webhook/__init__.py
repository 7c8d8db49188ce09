"""Webhooks: HTTP requests that are signed right start runs."""

from triggers.webhook.door import routes, webhooks
from triggers.webhook.trigger import WebhookTrigger

__all__ = ["WebhookTrigger", "routes", "webhooks"]
