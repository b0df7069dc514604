"""certd: an ACME certificate manager that proves what is served."""

__version__ = "0.1.0"
