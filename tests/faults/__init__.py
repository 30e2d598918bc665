"""The bad days: faults at every moment, networks that fail, forks, ends, floods, and servers that mean harm."""
