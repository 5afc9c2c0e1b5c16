"""The bug museum: what users of other billing systems reported, lived through here."""
