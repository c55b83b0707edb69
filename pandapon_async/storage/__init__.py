"""How things are kept: a SQLite file with an owner and a format, and changes of it in batches."""
