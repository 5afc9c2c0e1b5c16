"""Commands about the life of a subscription."""
