"""Networks trained to decode responses."""
