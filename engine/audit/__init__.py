"""Is a log what an engine can have written? Rules for streams, their rows, snapshots and keys."""
