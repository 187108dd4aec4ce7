"""Captions decoded from responses."""
