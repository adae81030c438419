"""What a chat server decides. No IO: no sockets, tasks, clock, files, logging or randomness."""
