"""What a chat server does: sockets, HTTP, stores, identity, metrics, shutdown."""
