"""The tests: a package of its own, so that no library's `tests` is taken for it."""
