"""Doing it: the queue for permits, the session, the way of one call."""
