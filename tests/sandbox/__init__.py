"""The sandbox, spoken to over HTTP as by a stranger."""
