"""The version of the package, read by setup.cfg, the checkpoints and the command line."""

__version__ = "0.1.0"
