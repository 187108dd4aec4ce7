"""DwiseNeuro, winner of Sensorium 2023: published and newly trained networks as encoders."""
