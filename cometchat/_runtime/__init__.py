"""The threads: the connection's and the dispatcher's, and what they share. Only here are threads started."""
