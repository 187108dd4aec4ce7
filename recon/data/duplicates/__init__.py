"""Duplicate videos (equal, nearly equal, re-encoded or time-shifted) and splits by content."""
