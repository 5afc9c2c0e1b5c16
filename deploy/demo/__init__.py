"""The demonstration: subscriptions that renew through a gateway that misbehaves."""
