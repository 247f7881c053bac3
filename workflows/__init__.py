"""The order of things: what happens next and what is done when it does not."""
