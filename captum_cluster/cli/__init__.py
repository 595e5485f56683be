"""The command line: arguments and printing only."""

from captum_cluster.cli.main import main

__all__ = ["main"]
