"""Clocks of a recording: lag between stimulus and responses, drift of the lag, and the order of the clips."""
