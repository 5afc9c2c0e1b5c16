"""The services on real rows: claim, send, settle, inquire, relay."""
