"""Linear decoders of responses."""
