"""The launcher, which must start what it promises and never leave anything behind."""
