"""The door: who asks, is it well formed, which workflow does it start."""
