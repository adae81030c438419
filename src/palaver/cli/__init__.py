"""The `palaver` command: parsing and printing only."""
