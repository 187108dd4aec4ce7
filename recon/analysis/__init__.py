"""Analyses beside the benchmark: identification, language, receptive fields and samples of priors."""
