"""The likelihoods of recorded responses, one file per family; `recon.fidelity` holds their registry."""
