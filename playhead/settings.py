"""What the environment says: the names of the variables that Playhead reads."""

import os

APP = "PLAYHEAD_APP"  # as --app
URL = "PLAYHEAD_URL"  # as --url
HTTP = "PLAYHEAD_HTTP"  # as --http
DEBUG = "PLAYHEAD_DEBUG"  # anything but empty or 0: errors keep their traceback


def is_debug() -> bool:
    """Tell whether tracebacks are wanted."""
    return os.environ.get(DEBUG, "") not in ("", "0")
