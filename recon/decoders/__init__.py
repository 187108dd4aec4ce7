"""Networks that read a movie, or what stands for one, from responses."""
