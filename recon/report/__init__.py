"""Reports of a run: page, tables, film strips and heat maps (`recon report`)."""
