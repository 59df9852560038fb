"""What rows of the fault matrix run on: real processes, as users start them."""

from tests.acceptance.conftest import real_world, simulated_world, world

__all__ = ["real_world", "simulated_world", "world"]
