"""Challenge providers that come with certd; each is found by its entry point like anybody's."""
