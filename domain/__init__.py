"""The rules of trading as pure functions and frozen values."""
