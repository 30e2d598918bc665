"""Programs that the tests of forks and ends run in separate processes, and their runner."""
