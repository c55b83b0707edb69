"""Local storage: SQLite files with an owner and a format, changes in batches, and files for people."""
