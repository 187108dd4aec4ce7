"""Runs independent jobs beside each other: in processes of this machine."""
