"""Carry out calls: the queue for permits, the session, the pipeline of one call."""
