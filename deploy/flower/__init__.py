"""How Flower is set up for Dalmada."""
