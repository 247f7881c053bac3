"""One outside thing each, through a port, safe to run twice."""
