"""The processes that run, and the one file that puts adapters behind ports."""
