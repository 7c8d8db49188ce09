"""What Playhead answers over HTTP; needs the extra `web`."""
