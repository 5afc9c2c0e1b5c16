"""Events posted to real servers of this machine."""
