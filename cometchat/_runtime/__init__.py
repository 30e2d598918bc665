"""The threads: the connection's and the dispatcher's, and what they share. The only package that imports ``threading``."""
