"""One PostgreSQL database that the processes and machines of a company share (extra `postgres`)."""
