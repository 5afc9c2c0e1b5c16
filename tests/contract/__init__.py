"""The V1 surface: what the client asks and the sandbox answers, held against its specification."""
