"""Local storage: SQLite files with an owner and a format, changes in batches, and files for people."""

from typing import Final

IN_MEMORY: Final = ":memory:"
"""SQLite's name for a file that is kept in memory alone."""
