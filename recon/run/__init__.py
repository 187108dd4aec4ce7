"""A single run of a method: stopping, counting, tracing and checkpoints."""
