"""One PostgreSQL database shared by the processes and machines of a company (extra `postgres`)."""
