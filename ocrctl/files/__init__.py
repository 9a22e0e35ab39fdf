"""Locks, atomic writes, output folders and the change journal: all uses of flock, fsync and rename."""
