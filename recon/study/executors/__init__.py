"""Executors of independent jobs: this process, processes of this machine, a Ray cluster."""
