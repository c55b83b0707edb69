"""Answers of the Taobao calls, shared by both generations."""
