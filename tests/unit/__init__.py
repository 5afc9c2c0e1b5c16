"""Tests without servers; a package, so that no folder shadows a part of ours."""
