"""The commands of ``worldgpt``, one file each: ``add_arguments(parser)`` and ``run(**options)``."""
