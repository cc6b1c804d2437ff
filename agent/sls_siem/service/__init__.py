"""The life of one process: built from a configuration, started, watched, drained."""
