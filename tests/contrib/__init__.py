"""The extras, each against its real library."""
