"""The exchanges behind the engine's port."""
