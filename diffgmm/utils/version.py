"""Version of the package, here so that modules can tell it without importing the package's face."""

__version__ = "0.1.0"
