"""Published baselines of the Sensorium 2022 (static) and 2023 (movie) challenges."""
