"""PortOne V1 as a server of ours, written from its documents and spoken to over HTTP only."""
