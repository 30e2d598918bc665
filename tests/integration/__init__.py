"""Over real sockets: the SDK as a user has it, with the sandbox or raw sockets as the server."""
