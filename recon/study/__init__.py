"""Studies of many runs: settings, provenance, the store, the benchmark and ablations."""
