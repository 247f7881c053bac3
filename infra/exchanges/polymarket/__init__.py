"""Polymarket behind the engine's port, on the official SDK."""
