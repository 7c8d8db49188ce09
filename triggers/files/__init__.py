"""Files dropped into a folder: pattern, scan, settle, watch, and the trigger itself."""
