"""A Django project for the tests: its account and what else differs come from the environment."""
