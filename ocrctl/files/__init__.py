"""Locks, atomic writes and output folders: the package that knows about flock, fsync and rename."""
