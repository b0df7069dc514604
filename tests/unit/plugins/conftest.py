from tests.unit.plugins.distributions import site_packages

__all__ = ["site_packages"]
