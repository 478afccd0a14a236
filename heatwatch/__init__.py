"""What every part of heatwatch shares: the domain, settings, stores, records and use cases."""

from importlib.metadata import version

__version__ = version("heatwatch")
