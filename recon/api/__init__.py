"""The public API: what `recon` offers to a script or a notebook, each name imported when it is first used."""
