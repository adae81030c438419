"""Tests of palaver.server.log. `driving` is how they speak to a log."""
