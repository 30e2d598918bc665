"""A Django project for the tests. Its account and its other variable settings come from the environment."""
