"""Models of the charge and the refund, every state of them, and real rows checked against them."""
