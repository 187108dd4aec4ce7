"""Recordings: reading, checking, converting and writing."""
