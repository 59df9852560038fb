"""Back ends that exist, as stubs written from the contract alone."""
