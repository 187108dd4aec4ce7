"""What a run says: the page, tables, film strips and heat maps: `recon report`."""
