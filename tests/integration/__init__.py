"""Tests on real servers, one folder a part; a package, so that no folder shadows a part of ours."""
