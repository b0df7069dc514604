"""Secrets by reference: they stand in files, the environment or systemd credentials, never in an argv or a journal."""
