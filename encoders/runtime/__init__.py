"""Runtime settings: device placement, numerical precision and memory allocation."""
