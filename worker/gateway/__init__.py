"""PortOne V1 over HTTP: the only code that speaks to the payment gateway."""
