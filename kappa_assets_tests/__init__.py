"""The tests of kappa_assets, in the same tree as the package; `whole/` holds the end-to-end ones."""
