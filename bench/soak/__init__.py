"""A server used hard for a long time: whatever happens, every frame and every count is right."""
