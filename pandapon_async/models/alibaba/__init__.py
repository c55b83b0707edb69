"""Answers of the 1688 calls, shared by both generations."""
