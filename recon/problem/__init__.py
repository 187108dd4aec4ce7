"""Inverse problems: fidelities, observations, masks and clips."""
