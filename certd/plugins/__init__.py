"""Plugins: found by their entry points, given their options, opened."""
