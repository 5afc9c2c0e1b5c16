"""Decides what is due, and says so in messages; charges nothing itself."""
