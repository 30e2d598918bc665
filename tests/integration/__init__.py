"""Over real sockets: the SDK as a user has it, the sandbox or a few bytes of raw socket as the server."""
