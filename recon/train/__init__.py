"""Training of what a method or an encoder needs: `recon train`."""
